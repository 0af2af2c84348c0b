"""A draft that is deleted takes its audit log with it; a published study can not be deleted."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('studies', '0002_votes_append_only'),
    ]

    operations = [
        migrations.AlterField(
            model_name='auditentry',
            name='study',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='audit', to='studies.study'),
        ),
    ]
