"""The network of containers: bridges, addresses, published ports, names.

Only `none` and `host` need nothing of it; a start without a network imports `settings` alone.

    settings.py   what was asked for, checked; pure
    ports.py      `-p`: parsed, and as Docker shows it; pure
    addresses.py  subnets and addresses that are free; pure
    registry.py   the networks of a state root, and who has which address, under a lock
    plan.py       the steps that connect a container, as data
    netlink.py    one rtnetlink request after another (pyroute2 encodes them)
    plumber.py    the process that carries the plan out
    nft.py        the rules of a bridge, as text, and what others' rules forbid
    names.py      /etc/hosts and /etc/resolv.conf
    proxy.py      passes what reaches a published port on to the container
    attach.py     all of it in the right order, and back
"""
