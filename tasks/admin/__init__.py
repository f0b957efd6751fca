"""The admin, for support staff: resource groups, connections, tasks; history to read. Operations are the console's."""

from django.contrib import admin

from tasks.admin import alerts, connections, groups, history, tasks

admin.site.site_header = "Operations console"
admin.site.site_title = "Operations console"
admin.site.index_title = "Support"
admin.site.site_url = "/tasks/"

__all__ = ["alerts", "connections", "groups", "history", "tasks"]
