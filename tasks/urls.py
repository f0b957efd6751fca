"""The console's addresses."""

from django.urls import URLPattern, path

from tasks.views import bulk, detail, health, listing, logs, metrics, operations, overview, pages, records

app_name = "tasks"
urlpatterns: list[URLPattern] = [
    path("", overview.overview, name="overview"),
    path("tasks/", listing.task_list, name="list"),
    path("tasks/rows/", listing.changed_rows, name="rows"),
    path("tasks/operations/<slug:operation>/", bulk.bulk_dialog, name="bulk"),
    path("tasks/counts/", listing.status_counts, name="counts"),
    path("tasks/<int:task_id>/", detail.overview, name="detail"),
    path("tasks/<int:task_id>/live/", detail.live, name="live"),
    path("tasks/<int:task_id>/metrics/", metrics.metrics, name="metrics"),
    path("tasks/<int:task_id>/metrics.csv", metrics.metrics_file, name="metrics_file"),
    path("tasks/<int:task_id>/logs/", logs.logs, name="logs"),
    path("tasks/<int:task_id>/log.txt", logs.log_file, name="log_file"),
    path("tasks/<int:task_id>/snapshots/", records.snapshots, name="snapshots"),
    path("tasks/<int:task_id>/history/", records.history, name="history"),
    path("tasks/<int:task_id>/configuration/", records.configuration, name="configuration"),
    path("tasks/<int:task_id>/operations/<slug:operation>/", operations.operation_dialog, name="operation"),
    path("matrix/", pages.matrix, name="matrix"),
    path("groups/", pages.groups, name="groups"),
    path("worker-banner/", pages.worker_banner, name="worker_banner"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
]
