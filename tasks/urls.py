"""The console's addresses."""

from django.urls import URLPattern

app_name = "tasks"
urlpatterns: list[URLPattern] = []
