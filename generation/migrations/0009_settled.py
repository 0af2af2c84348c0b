"""What rests on all scores of an experiment together: its yardstick of drift, and when it was made."""

from django.db import migrations, models

# Pairs of experiments whose chunks are all scored were flagged with the last chunk.
SETTLED = """
UPDATE generation_experiment AS experiment SET settled_at = scored.last
FROM (
    SELECT experiment_id, coalesce(max(scored_at), now()) AS last FROM generation_chunk
    GROUP BY experiment_id HAVING bool_and(stage = 'done')
) AS scored
WHERE scored.experiment_id = experiment.id
"""
# An earlier version compared seeds within each chunk only; the page says so and offers to score them again.
UNSCORED = """
UPDATE generation_chunk AS chunk
SET unscored = chunk.unscored || jsonb_build_object('seed_similarity',
    'an earlier version compared images of one chunk only; have it scored once more.')
FROM generation_experiment AS experiment
WHERE experiment.id = chunk.experiment_id AND chunk.stage = 'done'
    AND 'seed_similarity' = ANY (experiment.metrics) AND NOT chunk.unscored ? 'seed_similarity'
    AND EXISTS (
        SELECT FROM generation_item AS item WHERE item.experiment_id = experiment.id
        GROUP BY item.model_id, item.label, item.prompt, item.negative_prompt HAVING count(*) > 1
    )
    AND NOT EXISTS (
        SELECT FROM generation_score AS score JOIN generation_image AS image ON image.id = score.image_id
        WHERE image.chunk_id = chunk.id AND score.metric = 'seed_similarity' AND score.version <> '1'
    )
"""


class Migration(migrations.Migration):
    dependencies = [("generation", "0008_loose_files")]
    operations = [
        migrations.AddField("experiment", "settled_at", models.DateTimeField(editable=False, null=True)),
        migrations.AddField(
            "experiment",
            "settling_error",
            models.TextField(blank=True, default="", editable=False),
            preserve_default=False,
        ),
        migrations.AlterField(
            "pair",
            "excluded",
            models.CharField(
                blank=True,
                help_text="Why this pair is left out of studies and of the analysis.",
                max_length=200,
            ),
        ),
        migrations.RunSQL(SETTLED, migrations.RunSQL.noop),
        migrations.RunSQL(UNSCORED, migrations.RunSQL.noop),
        migrations.CreateModel(
            name="Embedding",
            fields=[
                (
                    "image",
                    models.OneToOneField(
                        on_delete=models.CASCADE,
                        primary_key=True,
                        related_name="embedding",
                        serialize=False,
                        to="generation.image",
                    ),
                ),
                ("version", models.CharField(max_length=80)),
                ("weights", models.CharField(max_length=500)),
                ("vector", models.BinaryField()),
            ],
        ),
    ]
