# Lease numbers, what was seen missing, time limits of a task: an older version can go on writing beside all of it.

import datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tasks', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='connection',
            name='connection_kind_known',
        ),
        migrations.RemoveConstraint(
            model_name='operationrequest',
            name='request_outcome_known',
        ),
        migrations.AddField(
            model_name='run',
            name='discarded_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='task',
            name='checked_at',
            field=models.DateTimeField(db_default=datetime.datetime(1970, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), default=datetime.datetime(1970, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), editable=False),
        ),
        migrations.AddField(
            model_name='task',
            name='lease_number',
            field=models.BigIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name='task',
            name='missing_since',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='task',
            name='time_limits',
            field=models.JSONField(blank=True, db_default={}, default=dict, help_text='Seconds an operation may take, where the console\'s own limit does not suit: {"pause": 600}.'),
        ),
        migrations.AlterField(
            model_name='connection',
            name='kind',
            field=models.CharField(choices=[('sqlite', 'SQLite'), ('postgresql', 'PostgreSQL'), ('file', 'File directory')], max_length=20),
        ),
        migrations.AlterField(
            model_name='connection',
            name='settings',
            field=models.JSONField(blank=True, default=dict, help_text='The address, by kind.'),
        ),
        migrations.AlterField(
            model_name='operationrequest',
            name='outcome',
            field=models.CharField(choices=[('open', 'in progress'), ('succeeded', 'succeeded'), ('failed', 'failed'), ('refused', 'refused'), ('unknown', 'unknown')], default='open', max_length=10),
        ),
        migrations.AddIndex(
            model_name='operationrequest',
            index=models.Index(condition=models.Q(('outcome', 'unknown')), fields=['task'], name='request_unknown'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('discarded_at__isnull', True), ('ended_at__isnull', False)), fields=['id'], name='run_to_discard'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(models.Q(('status__in', ('running', 'operating')), _negated=True), ('submitted_at__isnull', False)), fields=['checked_at', 'id'], name='task_check_due'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('missing_since__isnull', False), models.Q(('status', 'detection_exception'), _negated=True)), fields=['missing_since'], name='task_suspected'),
        ),
        migrations.AddConstraint(
            model_name='connection',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['sqlite', 'postgresql', 'file'])), name='connection_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='operationrequest',
            constraint=models.CheckConstraint(condition=models.Q(('outcome__in', ['open', 'succeeded', 'failed', 'refused', 'unknown'])), name='request_outcome_known'),
        ),
    ]
