"""A study can't take up an experiment that is being deleted: the database refuses, whoever asks."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION studies_experiment_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Waits for who is just marking it as being deleted, and then sees the mark.
    PERFORM 1 FROM generation_experiment
        WHERE id = NEW.experiment_id AND state <> 'deleting' FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'experiment % is being deleted', NEW.experiment_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER block_of_what_stays BEFORE INSERT OR UPDATE OF experiment_id ON studies_block
    FOR EACH ROW EXECUTE FUNCTION studies_experiment_stays();
"""
BACKWARDS = """
DROP TRIGGER block_of_what_stays ON studies_block;
DROP FUNCTION studies_experiment_stays();
"""


class Migration(migrations.Migration):
    dependencies = [("studies", "0013_outcomes_apart"), ("generation", "0008_loose_files")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
