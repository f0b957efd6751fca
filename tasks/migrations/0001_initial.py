# The console's tables, in one piece.

import django.core.validators
import django.db.models.deletion
import re
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Run',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('epoch', models.PositiveIntegerField(default=0)),
                ('engine', models.CharField(max_length=20)),
                ('start_position', models.CharField(choices=[('earliest', 'Earliest'), ('latest', 'Latest')], max_length=10)),
                ('started_at', models.DateTimeField()),
                ('started_by', models.CharField(max_length=150)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('end_reason', models.TextField(blank=True)),
            ],
            options={
                'ordering': ['-number', '-pk'],
            },
        ),
        migrations.CreateModel(
            name='Connection',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, unique=True, validators=[django.core.validators.RegexValidator(re.compile('^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\\Z'), 'A name has 1 to 100 letters, digits, dots, dashes or underscores, and begins with a letter or digit.')])),
                ('kind', models.CharField(choices=[('sqlite', 'SQLite'), ('file', 'File directory')], max_length=20)),
                ('settings', models.JSONField(blank=True, default=dict, help_text='The address, by kind: path.')),
                ('secret_token', models.TextField(blank=True, editable=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('check_requested_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('checked_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('check_problem', models.TextField(blank=True, editable=False)),
            ],
            options={
                'ordering': ['name'],
                'indexes': [models.Index(condition=models.Q(('check_requested_at__isnull', False)), fields=['check_requested_at'], name='connection_check_due')],
                'constraints': [models.CheckConstraint(condition=models.Q(('kind__in', ['sqlite', 'file'])), name='connection_kind_known'), models.CheckConstraint(condition=models.Q(('name', ''), _negated=True), name='connection_name_given')],
            },
        ),
        migrations.CreateModel(
            name='OperationRequest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('operation', models.CharField(choices=[('run', 'Run'), ('pause', 'Pause'), ('forced-pause', 'Forced pause'), ('continue', 'Continue'), ('stop', 'Stop'), ('detect', 'Re-detect')], max_length=20)),
                ('actor_name', models.CharField(max_length=150)),
                ('channel', models.CharField(choices=[('page', 'page'), ('api', 'API'), ('cli', 'command line'), ('admin', 'admin'), ('system', 'system')], max_length=10)),
                ('reason', models.TextField(blank=True)),
                ('key', models.CharField(blank=True, max_length=100)),
                ('start_position', models.CharField(blank=True, max_length=10)),
                ('from_status', models.CharField(choices=[('initialize', 'Initialize'), ('operating', 'Operating'), ('running', 'Running'), ('paused', 'Paused'), ('stopped', 'Stopped'), ('failure', 'Failure'), ('detection_exception', 'Detection exception')], max_length=20)),
                ('from_paused_how', models.CharField(blank=True, max_length=10)),
                ('requested_at', models.DateTimeField()),
                ('deadline_at', models.DateTimeField()),
                ('begun_at', models.DateTimeField(null=True)),
                ('asked_at', models.DateTimeField(null=True)),
                ('settled_at', models.DateTimeField(null=True)),
                ('outcome', models.CharField(choices=[('open', 'in progress'), ('succeeded', 'succeeded'), ('failed', 'failed'), ('refused', 'refused')], default='open', max_length=10)),
                ('code', models.CharField(blank=True, max_length=50)),
                ('message', models.TextField(blank=True)),
                ('allowed', models.JSONField(blank=True, default=list)),
                ('wait_for', models.TextField(blank=True)),
                ('actor', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-pk'],
            },
        ),
        migrations.CreateModel(
            name='ResourceGroup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, unique=True, validators=[django.core.validators.RegexValidator(re.compile('^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\\Z'), 'A name has 1 to 100 letters, digits, dots, dashes or underscores, and begins with a letter or digit.')])),
                ('kind', models.CharField(choices=[('local', 'Local engine')], default='local', max_length=20)),
                ('capacity', models.PositiveIntegerField(default=100, help_text='How many tasks may run at once.', validators=[django.core.validators.MinValueValidator(1)])),
                ('enabled', models.BooleanField(default=True, help_text='Off for maintenance: nothing starts here; what runs goes on running.')),
                ('description', models.TextField(blank=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('reachable', models.BooleanField(editable=False, null=True)),
                ('answered_at', models.DateTimeField(editable=False, null=True)),
                ('problem', models.TextField(blank=True, editable=False)),
            ],
            options={
                'ordering': ['name'],
                'constraints': [models.CheckConstraint(condition=models.Q(('kind__in', ['local'])), name='group_kind_known'), models.CheckConstraint(condition=models.Q(('capacity__gte', 1)), name='group_capacity_positive'), models.CheckConstraint(condition=models.Q(('name', ''), _negated=True), name='group_name_given')],
            },
        ),
        migrations.CreateModel(
            name='Task',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uid', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('name', models.CharField(max_length=100, unique=True, validators=[django.core.validators.RegexValidator(re.compile('^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\\Z'), 'A name has 1 to 100 letters, digits, dots, dashes or underscores, and begins with a letter or digit.')])),
                ('description', models.TextField(blank=True)),
                ('submitted_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('source_object', models.CharField(max_length=255)),
                ('source_options', models.JSONField(blank=True, default=dict)),
                ('target_object', models.CharField(max_length=255)),
                ('write_mode', models.CharField(choices=[('append', 'Append'), ('upsert', 'Upsert')], default='append', max_length=10)),
                ('target_key', models.JSONField(blank=True, default=list)),
                ('start_position', models.CharField(choices=[('earliest', 'Earliest'), ('latest', 'Latest')], default='earliest', max_length=10)),
                ('snapshot_interval', models.PositiveIntegerField(default=5, help_text='Seconds.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(86400)])),
                ('exactly_once', models.BooleanField(default=False, help_text="Continue from the target's own ledger instead of the snapshot, where the target has one.")),
                ('dirty_limit', models.PositiveIntegerField(default=100, help_text="More rows than this that can't be written end the run.")),
                ('restart_limit', models.PositiveIntegerField(default=5, help_text='Automatic restarts in a row before the task is a Failure.')),
                ('status', models.CharField(choices=[('initialize', 'Initialize'), ('operating', 'Operating'), ('running', 'Running'), ('paused', 'Paused'), ('stopped', 'Stopped'), ('failure', 'Failure'), ('detection_exception', 'Detection exception')], default='initialize', editable=False, max_length=20)),
                ('status_since', models.DateTimeField(auto_now_add=True)),
                ('status_reason', models.TextField(blank=True, editable=False)),
                ('paused_how', models.CharField(blank=True, choices=[('normal', 'with a snapshot'), ('forced', 'forced, without a snapshot')], editable=False, max_length=10)),
                ('status_before', models.CharField(blank=True, choices=[('initialize', 'Initialize'), ('operating', 'Operating'), ('running', 'Running'), ('paused', 'Paused'), ('stopped', 'Stopped'), ('failure', 'Failure'), ('detection_exception', 'Detection exception')], editable=False, max_length=20)),
                ('lease_owner', models.CharField(blank=True, editable=False, max_length=100)),
                ('lease_until', models.DateTimeField(editable=False, null=True)),
                ('fault_code', models.CharField(blank=True, editable=False, max_length=50)),
                ('fault_cause', models.TextField(blank=True, editable=False)),
                ('fault_advice', models.TextField(blank=True, editable=False)),
                ('fault_subject', models.TextField(blank=True, editable=False)),
                ('restart_at', models.DateTimeField(editable=False, null=True)),
                ('restarts', models.PositiveIntegerField(default=0, editable=False)),
                ('restarts_in_row', models.PositiveIntegerField(default=0, editable=False)),
                ('engine_state', models.CharField(blank=True, editable=False, max_length=20)),
                ('observed_at', models.DateTimeField(editable=False, null=True)),
                ('rows_read', models.BigIntegerField(default=0, editable=False)),
                ('rows_written', models.BigIntegerField(default=0, editable=False)),
                ('rows_dirty', models.BigIntegerField(default=0, editable=False)),
                ('rows_replayed', models.BigIntegerField(default=0, editable=False)),
                ('position', models.BigIntegerField(default=0, editable=False)),
                ('high_water', models.BigIntegerField(default=0, editable=False)),
                ('bytes_read', models.BigIntegerField(default=0, editable=False)),
                ('bytes_written', models.BigIntegerField(default=0, editable=False)),
                ('offset_text', models.TextField(blank=True, editable=False)),
                ('lag_seconds', models.FloatField(editable=False, null=True)),
                ('lag_rows', models.BigIntegerField(editable=False, null=True)),
                ('last_write_at', models.DateTimeField(editable=False, null=True)),
                ('group', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='tasks', to='tasks.resourcegroup', to_field='name')),
                ('last_request', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='tasks.operationrequest')),
                ('owner', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='owned_tasks', to=settings.AUTH_USER_MODEL)),
                ('run', models.OneToOneField(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='tasks.run')),
                ('source_connection', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='read_by', to='tasks.connection', to_field='name')),
                ('target_connection', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='written_by', to='tasks.connection', to_field='name')),
            ],
            options={
                'ordering': ['name', 'pk'],
                'permissions': [('operate_task', 'Can run, pause, force-pause, continue and re-detect tasks'), ('stop_task', 'Can stop tasks, which discards their snapshots')],
            },
        ),
        migrations.CreateModel(
            name='StatusChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('from_status', models.CharField(blank=True, choices=[('initialize', 'Initialize'), ('operating', 'Operating'), ('running', 'Running'), ('paused', 'Paused'), ('stopped', 'Stopped'), ('failure', 'Failure'), ('detection_exception', 'Detection exception')], max_length=20)),
                ('to_status', models.CharField(choices=[('initialize', 'Initialize'), ('operating', 'Operating'), ('running', 'Running'), ('paused', 'Paused'), ('stopped', 'Stopped'), ('failure', 'Failure'), ('detection_exception', 'Detection exception')], max_length=20)),
                ('paused_how', models.CharField(blank=True, choices=[('normal', 'with a snapshot'), ('forced', 'forced, without a snapshot')], max_length=10)),
                ('actor_name', models.CharField(max_length=150)),
                ('run_number', models.PositiveIntegerField(null=True)),
                ('epoch', models.PositiveIntegerField(null=True)),
                ('reason', models.TextField(blank=True)),
                ('request', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='changes', to='tasks.operationrequest')),
                ('task', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='changes', to='tasks.task')),
            ],
            options={
                'ordering': ['-pk'],
            },
        ),
        migrations.CreateModel(
            name='Snapshot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('engine_id', models.CharField(max_length=200)),
                ('kind', models.CharField(choices=[('pause', 'Pause'), ('periodic', 'Periodic')], max_length=10)),
                ('epoch', models.PositiveIntegerField()),
                ('taken_at', models.DateTimeField()),
                ('offset', models.JSONField()),
                ('offset_text', models.TextField(blank=True)),
                ('position', models.BigIntegerField()),
                ('size_bytes', models.BigIntegerField(default=0)),
                ('duration_ms', models.FloatField(default=0)),
                ('unusable', models.TextField(blank=True)),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='snapshots', to='tasks.run')),
                ('task', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='snapshots', to='tasks.task')),
            ],
            options={
                'ordering': ['-taken_at', '-pk'],
            },
        ),
        migrations.AddField(
            model_name='run',
            name='task',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='runs', to='tasks.task'),
        ),
        migrations.AddField(
            model_name='operationrequest',
            name='task',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='requests', to='tasks.task'),
        ),
        migrations.CreateModel(
            name='WorkerHeartbeat',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, unique=True)),
                ('pid', models.PositiveIntegerField()),
                ('started_at', models.DateTimeField()),
                ('beat_at', models.DateTimeField()),
            ],
            options={
                'ordering': ['name'],
                'indexes': [models.Index(fields=['beat_at'], name='worker_by_beat')],
            },
        ),
        migrations.CreateModel(
            name='DirtyRow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('n', models.PositiveIntegerField()),
                ('at', models.DateTimeField()),
                ('reason', models.TextField()),
                ('row', models.TextField()),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='dirty_rows', to='tasks.run')),
            ],
            options={
                'ordering': ['-n', '-pk'],
                'constraints': [models.UniqueConstraint(fields=('run', 'n'), name='dirty_row_once_a_run')],
            },
        ),
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('epoch', models.PositiveIntegerField()),
                ('cause', models.CharField(choices=[('run', 'Run'), ('continue', 'Continue'), ('restart', 'Automatic restart'), ('redetect', 'Re-detect')], max_length=10)),
                ('replay_forecast', models.BigIntegerField(null=True)),
                ('started_at', models.DateTimeField()),
                ('running_at', models.DateTimeField(null=True)),
                ('ended_at', models.DateTimeField(null=True)),
                ('ended_as', models.CharField(blank=True, max_length=20)),
                ('end_reason', models.TextField(blank=True)),
                ('request', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='attempts', to='tasks.operationrequest')),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attempts', to='tasks.run')),
                ('from_snapshot', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='tasks.snapshot')),
            ],
            options={
                'ordering': ['-epoch', '-pk'],
                'constraints': [models.UniqueConstraint(fields=('run', 'epoch'), name='attempt_epoch_once_a_run'), models.UniqueConstraint(condition=models.Q(('ended_at__isnull', True)), fields=('run',), name='attempt_one_open_a_run'), models.CheckConstraint(condition=models.Q(('cause__in', ['run', 'continue', 'restart', 'redetect'])), name='attempt_cause_known'), models.CheckConstraint(condition=models.Q(('epoch__gte', 1)), name='attempt_epoch_from_one'), models.CheckConstraint(condition=models.Q(('ended_at__isnull', True), ('ended_at__gte', models.F('started_at')), _connector='OR'), name='attempt_ends_after_start')],
            },
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(fields=['status', 'name'], name='task_by_status'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(fields=['group', 'name'], name='task_by_group'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('status', 'operating')), fields=['id'], name='task_operating'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('status', 'running')), fields=['id'], name='task_running'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('restart_at__isnull', False)), fields=['restart_at'], name='task_restart_due'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('status__in', ('running', 'operating'))), fields=['group'], name='task_occupying'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['initialize', 'operating', 'running', 'paused', 'stopped', 'failure', 'detection_exception'])), name='task_status_known'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(('status_before__in', ['initialize', 'operating', 'running', 'paused', 'stopped', 'failure', 'detection_exception', ''])), name='task_status_before_known'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(('paused_how__in', ['normal', 'forced', ''])), name='task_paused_how_known'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(('write_mode__in', ['append', 'upsert'])), name='task_write_mode_known'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(('start_position__in', ['earliest', 'latest'])), name='task_start_position_known'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'paused'), models.Q(('paused_how', ''), _negated=True)), models.Q(models.Q(('status', 'paused'), _negated=True), ('paused_how', '')), _connector='OR'), name='task_paused_how_iff_paused'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'detection_exception'), models.Q(('status_before', ''), _negated=True)), models.Q(('status', 'detection_exception'), _negated=True), _connector='OR'), name='task_status_before_kept'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(('status', 'initialize'), ('submitted_at__isnull', False), _connector='OR'), name='task_draft_never_ran'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(('group__isnull', False), ('source_connection__isnull', False), ('target_connection__isnull', False)), name='task_objects_named'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(('snapshot_interval__gte', 1)), name='task_snapshot_interval_positive'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(('high_water__gte', models.F('position'))), name='task_high_water_is_highest'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(('name', ''), _negated=True), name='task_name_given'),
        ),
        migrations.AddIndex(
            model_name='statuschange',
            index=models.Index(fields=['task', '-id'], name='change_of_task'),
        ),
        migrations.AddConstraint(
            model_name='statuschange',
            constraint=models.CheckConstraint(condition=models.Q(('from_status__in', ['initialize', 'operating', 'running', 'paused', 'stopped', 'failure', 'detection_exception', ''])), name='change_from_known'),
        ),
        migrations.AddConstraint(
            model_name='statuschange',
            constraint=models.CheckConstraint(condition=models.Q(('to_status__in', ['initialize', 'operating', 'running', 'paused', 'stopped', 'failure', 'detection_exception'])), name='change_to_known'),
        ),
        migrations.AddConstraint(
            model_name='statuschange',
            constraint=models.CheckConstraint(condition=models.Q(('paused_how__in', ['normal', 'forced', ''])), name='change_paused_how_known'),
        ),
        migrations.AddIndex(
            model_name='snapshot',
            index=models.Index(fields=['task', '-taken_at', '-id'], name='snapshot_of_task'),
        ),
        migrations.AddConstraint(
            model_name='snapshot',
            constraint=models.UniqueConstraint(fields=('run', 'engine_id'), name='snapshot_once_a_run'),
        ),
        migrations.AddConstraint(
            model_name='snapshot',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['pause', 'periodic'])), name='snapshot_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='snapshot',
            constraint=models.CheckConstraint(condition=models.Q(('position__gte', 0)), name='snapshot_position_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.UniqueConstraint(fields=('task', 'number'), name='run_number_once_a_task'),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.UniqueConstraint(condition=models.Q(('ended_at__isnull', True)), fields=('task',), name='run_one_open_a_task'),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.CheckConstraint(condition=models.Q(('start_position__in', ['earliest', 'latest'])), name='run_start_position_known'),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.CheckConstraint(condition=models.Q(('number__gte', 1)), name='run_number_from_one'),
        ),
        migrations.AddIndex(
            model_name='operationrequest',
            index=models.Index(fields=['task', '-id'], name='request_of_task'),
        ),
        migrations.AddIndex(
            model_name='operationrequest',
            index=models.Index(condition=models.Q(('outcome', 'open')), fields=['deadline_at'], name='request_open'),
        ),
        migrations.AddConstraint(
            model_name='operationrequest',
            constraint=models.UniqueConstraint(condition=models.Q(('outcome', 'open')), fields=('task',), name='request_one_open_a_task'),
        ),
        migrations.AddConstraint(
            model_name='operationrequest',
            constraint=models.UniqueConstraint(condition=models.Q(('key', ''), _negated=True), fields=('task', 'key'), name='request_key_once_a_task'),
        ),
        migrations.AddConstraint(
            model_name='operationrequest',
            constraint=models.CheckConstraint(condition=models.Q(('operation__in', ['run', 'pause', 'forced-pause', 'continue', 'stop', 'detect'])), name='request_operation_known'),
        ),
        migrations.AddConstraint(
            model_name='operationrequest',
            constraint=models.CheckConstraint(condition=models.Q(('channel__in', ['page', 'api', 'cli', 'admin', 'system'])), name='request_channel_known'),
        ),
        migrations.AddConstraint(
            model_name='operationrequest',
            constraint=models.CheckConstraint(condition=models.Q(('outcome__in', ['open', 'succeeded', 'failed', 'refused'])), name='request_outcome_known'),
        ),
        migrations.AddConstraint(
            model_name='operationrequest',
            constraint=models.CheckConstraint(condition=models.Q(('from_status__in', ['initialize', 'operating', 'running', 'paused', 'stopped', 'failure', 'detection_exception'])), name='request_from_status_known'),
        ),
        migrations.AddConstraint(
            model_name='operationrequest',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('outcome', 'open'), ('settled_at__isnull', True)), models.Q(models.Q(('outcome', 'open'), _negated=True), ('settled_at__isnull', False)), _connector='OR'), name='request_settled_iff_closed'),
        ),
    ]
