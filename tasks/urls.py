"""The console's addresses."""

from django.urls import URLPattern, path

from tasks.views import (
    alert_rules,
    alerts,
    bulk,
    detail,
    health,
    listing,
    logs,
    metrics,
    operations,
    overview,
    pages,
    records,
)

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
    path("tasks/<int:task_id>/alerts/", alerts.task_alerts, name="task_alerts"),
    path("tasks/<int:task_id>/configuration/", records.configuration, name="configuration"),
    path("tasks/<int:task_id>/operations/<slug:operation>/", operations.operation_dialog, name="operation"),
    path("alerts/", alerts.alert_list, name="alerts"),
    path("alerts/<int:alert_id>/", alerts.alert_page, name="alert"),
    path("alerts/<int:alert_id>/<slug:act>/", alerts.alert_act, name="alert_act"),
    path("alerts/rules/", alert_rules.rule_list, name="alert_rules"),
    path("alerts/rules/new/", alert_rules.new_rule, name="alert_rule_new"),
    path("alerts/rules/<int:rule_id>/", alert_rules.edit_rule, name="alert_rule"),
    path("alerts/rules/<int:rule_id>/turn/", alert_rules.toggle_rule, name="alert_rule_turn"),
    path("alerts/rules/<int:rule_id>/test/", alert_rules.test_rule, name="alert_rule_test"),
    path("alerts/rules/<int:rule_id>/delete/", alert_rules.delete_rule, name="alert_rule_delete"),
    path("alerts/recipients/", alert_rules.recipient_list, name="recipients"),
    path("alerts/recipients/<int:group_id>/test/", alert_rules.test_recipients, name="recipients_test"),
    path("matrix/", pages.matrix, name="matrix"),
    path("groups/", pages.groups, name="groups"),
    path("pulse/", pages.pulse, name="pulse"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
]
