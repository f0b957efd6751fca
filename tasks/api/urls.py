"""Addresses of the API, below /api/v1/."""

from django.urls import URLPattern, path, re_path

from tasks.api import resources

app_name = "api"
urlpatterns: list[URLPattern] = [
    path("tasks/", resources.tasks, name="tasks"),
    path("tasks/<str:name>/", resources.task, name="task"),
    path("tasks/<str:name>/operations/<str:operation>/", resources.operate, name="operate"),
    path("requests/<int:request_id>/", resources.request_, name="request"),
    path("matrix/", resources.matrix, name="matrix"),
    re_path(r"^(?:.*/)?$", resources.nothing),  # those without a slash at the end are sent to the one with it
]
