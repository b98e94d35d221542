"""The source of the dashboards in dashboards/grafana: `make dashboards` writes them. The standard library alone.

One module a dashboard. What they are made of: queries (promql), panels
(panels), and the frame around them (dashboard).
"""
