"""What a published study shows stays as it is: the database itself refuses to delete or replace it."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION generation_frozen_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a published study shows it: % of % % refused', lower(TG_OP), TG_TABLE_NAME, OLD.id
        USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER frozen_image_not_deleted BEFORE DELETE ON generation_image
    FOR EACH ROW WHEN (OLD.frozen) EXECUTE FUNCTION generation_frozen_stays();
CREATE TRIGGER frozen_image_not_replaced BEFORE UPDATE ON generation_image
    FOR EACH ROW WHEN (
        OLD.frozen
        AND (OLD.sha256, OLD.item_id, OLD.condition_id, OLD.steps, OLD.width, OLD.height)
            IS DISTINCT FROM (NEW.sha256, NEW.item_id, NEW.condition_id, NEW.steps, NEW.width, NEW.height)
    ) EXECUTE FUNCTION generation_frozen_stays();
CREATE TRIGGER frozen_pair_not_deleted BEFORE DELETE ON generation_pair
    FOR EACH ROW WHEN (OLD.frozen) EXECUTE FUNCTION generation_frozen_stays();
CREATE TRIGGER frozen_pair_not_replaced BEFORE UPDATE ON generation_pair
    FOR EACH ROW WHEN (
        OLD.frozen
        AND (OLD.item_id, OLD.steps, OLD.baseline_id, OLD.treatment_id)
            IS DISTINCT FROM (NEW.item_id, NEW.steps, NEW.baseline_id, NEW.treatment_id)
    ) EXECUTE FUNCTION generation_frozen_stays();
"""
BACKWARDS = """
DROP TRIGGER frozen_image_not_deleted ON generation_image;
DROP TRIGGER frozen_image_not_replaced ON generation_image;
DROP TRIGGER frozen_pair_not_deleted ON generation_pair;
DROP TRIGGER frozen_pair_not_replaced ON generation_pair;
DROP FUNCTION generation_frozen_stays();
"""


class Migration(migrations.Migration):
    dependencies = [("generation", "0003_score_order")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
