"""The network of containers: bridges, addresses, published ports, names.

A start without a network of its own imports the first four alone.

    settings.py   what was asked for, checked; pure
    ports.py      `-p`: parsed, and as Docker shows it; pure
    document.py   the network's part of `inspect`; pure
    connection.py a container's network, from its start to its end
    preparing.py  what is known of it before: whose it is, what is missing here, the plan
    sharing.py    `--net container:ID`
    attach.py     those with links of their own: ports, addresses, names, links in order, and back
    members.py    who is on which network: places leased and given back, and told to the others
    live.py       `network connect` and `disconnect`
    addresses.py  subnets and addresses that are free; pure
    registry.py   the networks of a state root, and who has which address, under a lock
    plan.py       the steps that connect a container, as data
    plumber.py    the process that carries them out
    netlink.py    one rtnetlink request after another (pyroute2 encodes them)
    nft.py        the rules of a bridge, as text, and what others' rules forbid
    names.py      /etc/hosts and /etc/resolv.conf
    listening.py  the sockets of published ports
    serving.py    what a monitor serves: the last of these, each if there is any
    answering.py  the sockets of a container's own resolver, in its network
    resolver.py   that resolver, 127.0.0.11
    zone.py       the names that it knows: who is on the container's networks
    upstream.py   how it asks others
    dns.py        the messages; pure
    proxy.py      passes what reaches them on to the container
    manage.py     `sandbox network`
"""
