"""Addresses: the admin, sign-in, and everything of the console itself."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from tasks.api import exposition

handler500 = "tasks.views.health.server_error"

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("api/v1/", include("tasks.api.urls")),
    path("metrics", exposition.metrics, name="metrics"),
    path("", include("tasks.urls")),
]
