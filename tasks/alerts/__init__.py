"""Alerts: what rules look at, the life of an alert, who is told and how.

`readings` finds what breaks a rule, `life` opens and resolves, `notices` decides who is told when and writes it into
the outbox, `delivery` sends what stands there. Only the worker calls `delivery`.
"""
