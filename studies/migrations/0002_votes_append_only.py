"""Votes are only ever added: the database itself refuses to change or delete one.

Erasing the fields of somebody who withdrew is the one exception; it announces itself in its transaction.
"""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION studies_vote_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND current_setting('evalsite.erasing', true) = 'on'
        AND NEW.choice IS NULL AND NEW.link = OLD.link
        AND (NEW.trial_id, NEW.participant_id, NEW.sequence) = (OLD.trial_id, OLD.participant_id, OLD.sequence)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'votes are only ever added: % of vote % refused', lower(TG_OP), OLD.id;
END
$$;
CREATE TRIGGER vote_append_only BEFORE UPDATE OR DELETE ON studies_vote
    FOR EACH ROW EXECUTE FUNCTION studies_vote_append_only();
"""
BACKWARDS = """
DROP TRIGGER vote_append_only ON studies_vote;
DROP FUNCTION studies_vote_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("studies", "0001_initial")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
