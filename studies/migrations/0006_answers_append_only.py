"""What a person said about themselves is only ever added; it is deleted where they take it back."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION studies_answer_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('evalsite.erasing', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'answers are only ever added: % of answer % refused', lower(TG_OP), OLD.id;
END
$$;
CREATE TRIGGER answer_append_only BEFORE UPDATE OR DELETE ON studies_answer
    FOR EACH ROW EXECUTE FUNCTION studies_answer_append_only();
"""
BACKWARDS = """
DROP TRIGGER answer_append_only ON studies_answer;
DROP FUNCTION studies_answer_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("studies", "0005_questions_about_the_person")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
