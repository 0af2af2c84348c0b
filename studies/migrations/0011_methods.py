from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("studies", "0010_members")]

    operations = [
        migrations.AddField(
            model_name="result",
            name="methods",
            field=models.TextField(blank=True, db_default=""),
        ),
    ]
