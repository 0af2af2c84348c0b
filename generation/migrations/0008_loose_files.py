"""Experiments and tunings can be deleted; the database notes the files of every image that goes."""

from django.db import migrations, models

FORWARDS = """
CREATE FUNCTION generation_note_files() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO generation_loosefile (sha256, at) SELECT sha256, statement_timestamp() FROM gone
        GROUP BY sha256 ORDER BY sha256
        ON CONFLICT (sha256) DO UPDATE SET at = excluded.at;
    RETURN NULL;
END
$$;
CREATE TRIGGER image_files_noted AFTER DELETE ON generation_image
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION generation_note_files();
"""
BACKWARDS = """
DROP TRIGGER image_files_noted ON generation_image;
DROP FUNCTION generation_note_files();
"""


class Migration(migrations.Migration):
    dependencies = [("generation", "0007_tuning")]
    operations = [
        migrations.CreateModel(
            name="LooseFile",
            fields=[
                ("sha256", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("at", models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.AlterField(
            model_name="experiment",
            name="state",
            field=models.CharField(
                choices=[
                    ("running", "Running"),
                    ("paused", "Paused"),
                    ("cancelled", "Cancelled"),
                    ("deleting", "Deleting"),
                ],
                default="running",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="tuning",
            name="state",
            field=models.CharField(
                choices=[
                    ("running", "Running"),
                    ("done", "Done"),
                    ("failed", "Failed"),
                    ("cancelled", "Cancelled"),
                    ("deleting", "Deleting"),
                ],
                default="running",
                max_length=10,
            ),
        ),
        migrations.RunSQL(FORWARDS, BACKWARDS),
    ]
