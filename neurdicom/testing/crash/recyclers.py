"""Actors that use the trash and earlier versions, and that send UIDs which other patients have as well."""

from dataclasses import replace
from http import HTTPStatus

from neurdicom.testing.crash.actors import Actor
from neurdicom.testing.crash.ledger import SampleInstance
from neurdicom.testing.crash.own import OwningActor, OwnStudy, StudyOwner
from neurdicom.testing.crash.users import Editor, Labeller
from neurdicom.testing.crash.writers import REFERENCED, STOW, multipart, stored_of

_LEVELS = ("instance", "instance", "series", "study")

#: Number in the UIDs that several patients have.
_SHARED = 99

#: Label of studies that a quota never deletes.
_PROTECTED = "protected"


class HttpOwner(StudyOwner):
    """Base of actors that upload instances of their own."""

    def send(self, sample: SampleInstance) -> bool:
        """Upload an instance."""
        answer = self.http.request("POST", "/api/instances", sample.content, "application/dicom")
        good = self.statuses(HTTPStatus.OK, HTTPStatus.CREATED, partly=HTTPStatus.MULTI_STATUS)
        return self.check(answer, good).status in good and bool(stored_of(answer))

    def own_sample(self, study: OwnStudy) -> SampleInstance:
        """Make a new instance of a study."""
        self._number += 1
        others = list(study.samples.values())
        uid = others[0].study if others else f"{self.site.root}.{self.place}.{self._number}"
        patient = others[0].patient_id if others else f"{self.name}-{self._number // 20}"
        series = f"{uid}.{self._number % 2}"
        return self.file(patient, uid, series, f"{series}.{self._number}")

    def changed(self, sample: SampleInstance) -> SampleInstance:
        """Make an instance of the same UIDs with other bytes."""
        self._number += 1
        one = self.file(sample.patient_id, sample.study, sample.series, sample.instance, f"version {self._number}")
        return replace(one, as_dataset=self.as_dataset)

    def recycle(self, study: OwnStudy) -> None:
        """Delete an entity, or restore or purge an entry of the trash."""
        if study.trash and self.random.random() < 0.6:
            reason = self.random.choice(list(study.trash))
            change = self.restore if self.random.random() < 0.7 else self.empty
            change(study, reason)
        elif present := study.present:
            purge = self.random.random() < 0.15
            self.delete(study, self.random.choice(_LEVELS), self.random.choice(present), purge=purge)


class Recycler(HttpOwner):
    """Actor that deletes, purges and restores, and sends deleted instances again."""

    def use(self, study: OwnStudy) -> None:
        """Send an instance or use the trash, and look at what is there."""
        absent = [study.samples[uid] for uid, digest in study.current.items() if digest is None]
        chance = self.random.random()
        if not study.samples or chance < 0.35:
            self.store(study, self.own_sample(study))
        elif absent and chance < 0.5:
            again = self.random.choice(absent)
            self.store(study, again if self.random.random() < 0.5 else self.changed(again))
        elif chance < 0.9:
            self.recycle(study)
        else:
            self.look(study)


class Reviser(HttpOwner):
    """Actor that sends new versions of instances, and makes earlier ones current again."""

    def use(self, study: OwnStudy) -> None:
        """Send an instance or a new version of one, restore a version, use the trash, or look at what is there."""
        chance, present = self.random.random(), study.present
        if not present or chance < 0.2:
            self.store(study, self.own_sample(study))
            return
        sample = self.random.choice(present)
        versions = sorted(study.versions[sample.instance])
        if chance < 0.55:
            self.store(study, self.changed(sample))
        elif chance < 0.8 and versions:
            self.restore_version(study, sample, self.random.choice(versions))
        elif chance < 0.9:
            self.recycle(study)
        else:
            self.look(study)


class Protector(HttpOwner):
    """Sends studies, protects them, and sends more of them."""

    def use(self, study: OwnStudy) -> None:
        """Begin a study and protect it; send more of it, or look at what is there."""
        if not study.present:
            self.store(study, self.own_sample(study))
            self.protect(study)
        elif self.random.random() < 0.7:
            self.store(study, self.own_sample(study))
        else:
            self.look(study)

    def protect(self, study: OwnStudy) -> None:
        """Give a study the label; until then a quota may delete it."""
        [sample] = study.present
        self._note(study, sample.instance, None)
        self.site.ledger.note_label(sample.study, _PROTECTED, True, False)
        answer = self.http.request("PUT", f"/api/studies/{sample.study}/labels/{_PROTECTED}")
        if self.check(answer, [HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND]).status == HTTPStatus.NO_CONTENT:
            self.site.ledger.note_label(sample.study, _PROTECTED, True)
            self._note(study, sample.instance)
        else:
            self._own.remove(study)


class TwinOwner(HttpOwner):
    """Base of actors that send the same UIDs, each with a patient of its own, and so never change each other's."""

    def own_sample(self, study: OwnStudy) -> SampleInstance:
        """Make an instance whose UIDs the others send as well."""
        others = list(study.samples.values())
        self._number += not others  # the others begin the same studies
        uid = others[0].study if others else f"{self.site.root}.{_SHARED}.{self._number}"
        series = f"{uid}.{len(others) % 2}"
        patient = f"{self.name}-{uid.rsplit('.', 1)[1]}"
        return self.file(patient, uid, series, f"{series}.{len(others) + 1}")

    def use(self, study: OwnStudy) -> None:
        """Send an instance or use the trash, and look at what is there."""
        chance = self.random.random()
        if not study.present or chance < 0.5:
            self.store(study, self.own_sample(study))
        elif chance < 0.8:
            self.recycle(study)
        else:
            self.look(study)


class TwinUploader(TwinOwner):
    """Actor that uploads UIDs that others send as well."""


class TwinStower(TwinOwner):
    """Actor that sends UIDs by STOW-RS that others send as well."""

    def send(self, sample: SampleInstance) -> bool:
        """Send an instance by STOW-RS."""
        answer = self.http.request("POST", "/dicom-web/studies", multipart([sample], "related"), STOW)
        good = self.statuses(HTTPStatus.OK, partly=HTTPStatus.ACCEPTED)
        return self.check(answer, good).status in good and REFERENCED in answer.json()


class Scavenger(Actor):
    """Actor that restores and purges entries of the trash that no actor owns."""

    def act(self) -> None:
        """Restore or purge an entry of the trash; it may be gone by then, as other actors use the trash as well."""
        entries = self.check(self.http.get("/api/trash?limit=100"), [HTTPStatus.OK]).json()
        entries = [each for each in entries if not self._is_owned(each["patient_id"])]
        if not entries:
            return
        entry = self.random.choice(entries)
        path = f"/api/trash/{entry['id']}"
        if self.random.random() < 0.3:
            answer = self.http.request("DELETE", path)
            self.check(answer, [HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT])
            return
        is_version = entry["kind"] == "version"
        level = "instance" if is_version else entry["kind"]
        uid = list(entry["uids"].values())[-1]
        restoring = self.site.ledger.begin_restore(level, uid, is_version=is_version)
        answer = self.http.request("POST", f"{path}/restore")
        self.check(answer, [HTTPStatus.OK, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT])
        if answer.status == HTTPStatus.OK:
            self.site.ledger.acknowledge(restoring)

    @staticmethod
    def _is_owned(patient_id: str | None) -> bool:
        owners: list[type] = [OwningActor, Editor, Labeller]
        names = {each.__name__ for owner in owners for each in _kinds_of(owner)}
        return patient_id is None or patient_id.partition("-")[0] in names


def _kinds_of(kind: type) -> list[type]:
    """List a class and all of its subclasses, those of a test's own modules too."""
    below: list[type] = kind.__subclasses__()
    return [kind, *(each for derived in below for each in _kinds_of(derived))]
