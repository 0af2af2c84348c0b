"""From pictures to a draft: presets over an experiment, pairs picked in the gallery, copies of a study."""

import pytest

from generation.models import Condition, Pair
from studies import composing, drafts, protocol
from studies.models import AuditEntry, FormQuestion, Seat, Study
from tests.studies.factories import Person, document, draft, experiment, published

pytestmark = pytest.mark.django_db


def made(preset: str, *args, **more) -> Study:
    return composing.from_experiment(composing.PRESETS[preset], *args, title="Which?", **more)


def test_it_works():
    study = made("paper", experiment(30))

    assert drafts.problems(study) == []
    protocol.publish(study)
    study.refresh_from_db()
    assert Seat.objects.filter(protocol__study=study).count() == 33
    assert study.entry == "prolific"
    assert [block.comparisons for block in study.blocks.all()] == [25]


def test_the_papers_study_takes_se2p_at_the_usual_steps_of_each_model():
    pictures = experiment(3, steps=(10, 20, 100), treatments=("naive", "se2p"))

    study = made("paper", pictures)

    assert [(b.steps, b.treatment.name, b.comparisons) for b in study.blocks.all()] == [(20, "se2p", 3)]


def test_values_of_rho_are_compared_at_one_number_of_steps_and_share_a_persons_trials():
    pictures = experiment(20, steps=(10, 50), treatments=("rho1", "rho2", "rho3", "naive"))
    Condition.objects.filter(experiment=pictures, name__startswith="rho").update(recipe={"sampler": "se2p"})

    study = made("rho", pictures)

    assert [(b.steps, b.treatment.name, b.comparisons) for b in study.blocks.all()] == [
        (10, "rho1", 16),
        (10, "rho2", 16),
        (10, "rho3", 16),
    ]


def test_one_treatment_alone_is_no_comparison_of_treatments():
    with pytest.raises(composing.NothingToCompare, match="only se2p"):
        made("controls", experiment(3))


def test_an_experiment_without_pairs_makes_no_study(admin_client):
    pictures = experiment(2)
    pictures.pairs.update(excluded="blurred")

    page = admin_client.post(
        "/admin/studies/study/compose/", {"experiment": pictures.pk, "preset": "all", "title": ""}
    )

    assert page.status_code == 400
    assert "has no such pairs yet" in page.content.decode()
    assert not Study.objects.exists()


def test_an_experiments_page_leads_to_a_draft(admin_client):
    pictures = experiment(4)
    page = admin_client.get(f"/admin/generation/experiment/{pictures.pk}/change/").content.decode()
    address = f"/admin/studies/study/compose/?experiment={pictures.pk}"

    form = admin_client.get(address).content.decode()
    answer = admin_client.post(
        address, {"experiment": pictures.pk, "preset": "all", "title": "Which flowers look better?"}
    )

    assert address in page
    assert f'<option value="{pictures.pk}" selected>' in form
    study = Study.objects.get()
    assert answer.url == f"/admin/studies/study/{study.pk}/change/"
    assert study.slug == "which-flowers-look-better"
    assert admin_client.get(answer.url).status_code == 200


def test_pairs_ticked_in_the_gallery_are_all_that_the_study_shows(admin_client):
    pictures = experiment(5)
    out, *picked = pictures.pairs.order_by("pk")[1:4]
    Pair.objects.filter(pk=out.pk).update(excluded="blurred")

    answer = admin_client.post(
        "/admin/generation/pair/",
        {"action": "make_a_study", "_selected_action": [out.pk, *(pair.pk for pair in picked)]},
        follow=True,
    )
    study = Study.objects.get()
    protocol.publish(study)

    assert "The draft takes 2 pairs; 1 are left out of studies" in answer.content.decode()
    (block,) = document(study)["design"]["blocks"]
    assert [pair["key"] for pair in block["pairs"]] == [pair.pk for pair in picked]
    assert block["chosen_by_hand"] is True


def test_who_may_not_make_studies_is_not_offered_it_in_the_gallery(client, django_user_model):
    from django.contrib.auth.models import Permission

    user = django_user_model.objects.create_user("looker", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_pair", "change_pair"]))
    client.force_login(user)
    pair = experiment(2).pairs.first()

    page = client.get("/admin/generation/pair/").content.decode()
    client.post("/admin/generation/pair/", {"action": "make_a_study", "_selected_action": [pair.pk]})

    assert "Leave out of studies" in page
    assert "Make a study of these" not in page
    assert not Study.objects.exists()


def test_flagged_pairs_stay_out_when_asked(admin_client):
    study = draft(experiment=experiment(4), comparisons=2)
    flagged = Pair.objects.first()
    Pair.objects.filter(pk=flagged.pk).update(flags=["washed out"])
    block = study.blocks.get()

    assert block.pairs().count() == 4
    block.without_flagged = True
    block.save()
    assert flagged not in block.pairs()
    protocol.publish(study)
    assert document(study)["design"]["blocks"][0]["without_flagged"] is True


def test_a_copy_has_all_but_the_people():
    original = published(3, repeats=1, min_median_rt_ms=300)
    FormQuestion.objects.create(study=original, text="Age?", kind="number", least=18)
    original.blocks.get().chosen.set(Pair.objects.all()[:2])
    Person(original).start().finish()

    copy = composing.duplicate(original)

    assert copy.state == "draft"
    assert (copy.title, copy.repeats, copy.min_median_rt_ms) == (f"{original.title} (copy)", 1, 300)
    assert copy.slug != original.slug
    assert [q.text for q in copy.questions.all()] == [q.text for q in original.questions.all()]
    assert [q.least for q in copy.form_questions.all()] == [18]
    assert copy.blocks.get().chosen.count() == 2
    assert (copy.participants.count(), copy.protocols.count(), copy.published_at) == (0, 0, None)
    assert original.blocks.count() == original.questions.count() == 1
    assert AuditEntry.objects.get(study=copy).detail == {"copy_of": original.slug}


def test_a_study_is_copied_from_its_page(admin_client):
    study = published(3)

    answer = admin_client.post(f"/admin/studies/study/{study.pk}/duplicate/")

    assert answer.url == f"/admin/studies/study/{Study.objects.exclude(pk=study.pk).get().pk}/change/"
    assert "Duplicate" in admin_client.get(f"/admin/studies/study/{study.pk}/change/").content.decode()


def test_addresses_of_equal_titles_differ():
    pictures = experiment(2)
    slugs = [made("all", pictures).slug for _ in range(3)]

    assert slugs == ["which", "which-2", "which-3"]
    assert composing.free_slug("哪一个") == "study"
