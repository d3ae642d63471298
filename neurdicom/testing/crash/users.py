"""Actors that delete, edit, move, search and process what they or others have sent."""

import time
from collections.abc import Sequence
from http import HTTPStatus

from neurdicom.dicom.uids import patient_key
from neurdicom.testing.crash.actors import AGAIN, Actor, ServerRefused
from neurdicom.testing.crash.ledger import SampleInstance

_GONE = HTTPStatus.NOT_FOUND

#: Labels that are given and taken away.
_LABELS = ("reviewed", "trial-7", "protected")

#: Seconds after which a check that goes on is left alone.
_CHECK_SECONDS = 3.0


class Deleter(Actor):
    """Actor that deletes an instance, a series or a study, sometimes for good."""

    def act(self) -> None:
        """Delete an entity that is there, of an actor that neither edits nor labels."""
        sample = self.site.ledger.choose(self.random, but=(Editor.__name__, Labeller.__name__))
        if sample is None:
            return
        level, uid = self.random.choice(
            [
                ("instance", sample.instance),
                ("instance", sample.instance),
                ("series", sample.series),
                ("study", sample.study),
            ]
        )
        path = {"instance": "instances", "series": "series", "study": "studies"}[level]
        deleting = self.site.ledger.begin_delete(level, uid)
        purge = "?purge=true" if self.random.random() < 0.2 else ""
        answer = self.check(self.http.request("DELETE", f"/api/{path}/{uid}{purge}"), [HTTPStatus.NO_CONTENT, _GONE])
        if answer.status == HTTPStatus.NO_CONTENT:
            self.site.ledger.acknowledge(deleting)


class StudyUser(Actor):
    """Base of actors that upload studies of their own, and change these."""

    def upload(self) -> None:
        """Upload a new instance."""
        [sample] = self.samples(1)
        sending = self.site.ledger.begin_store([sample])
        answer = self.http.request("POST", "/api/instances", sample.content, "application/dicom")
        if self.check(answer, [HTTPStatus.OK, HTTPStatus.CREATED]).status < HTTPStatus.BAD_REQUEST:
            self.site.ledger.acknowledge(sending)


class Editor(StudyUser):
    """Actor that changes the description of a study of its own, and undoes changes."""

    def act(self) -> None:
        """Send a study, change its description, or undo the last change."""
        mine = self.site.ledger.choose(self.random, self.name)
        if mine is None or self.random.random() < 0.2:
            self.upload()
            return
        study, value = mine.study, f"edit {self.random.randrange(10**9)}"
        if self.random.random() < 0.3 and self._undo(study):
            return
        editing = self.site.ledger.begin_edit(study, value)
        answer = self.http.request("PUT", f"/api/studies/{study}", {"study_description": value})
        if self.check(answer, [HTTPStatus.OK]).status == HTTPStatus.OK:
            self.site.ledger.acknowledge(editing)

    def _undo(self, study: str) -> bool:
        """Undo the last change of a study; return False if there is none."""
        edits = self.check(self.http.get(f"/api/studies/{study}/edits"), [HTTPStatus.OK]).json()
        if not edits:
            return False
        undoing = self.site.ledger.begin_edit(study, edits[-1]["before"] or "")
        path = f"/api/studies/{study}/edits/{edits[-1]['edit']}"
        if self.check(self.http.request("DELETE", path), [HTTPStatus.NO_CONTENT]).status == HTTPStatus.NO_CONTENT:
            self.site.ledger.acknowledge(undoing)
        return True


class Labeller(StudyUser):
    """Actor that labels studies of its own, takes labels away, and moves the studies to the trash and back."""

    def act(self) -> None:
        """Send a study, label it, or delete and restore it."""
        mine = self.site.ledger.choose(self.random, self.name)
        chance = self.random.random()
        if mine is None or chance < 0.2:
            self.upload()
        elif chance < 0.8:
            self._label(mine.study, self.random.choice(_LABELS))
        else:
            self._delete_and_restore(mine.study)

    def _label(self, study: str, label: str) -> None:
        is_given = self.random.random() < 0.7
        self.site.ledger.note_label(study, label, True, False)
        path = f"/api/studies/{study}/labels/{label}"
        answer = self.http.request("PUT" if is_given else "DELETE", path)
        allowed = [HTTPStatus.NO_CONTENT] if is_given else [HTTPStatus.NO_CONTENT, _GONE]
        if self.check(answer, allowed).status in allowed:
            self.site.ledger.note_label(study, label, is_given)

    def _delete_and_restore(self, study: str) -> None:
        """Move a study to the trash and back, with its labels."""
        samples = [each for each in dict(self.site.ledger.samples).values() if each.study == study]
        there = [each for each in samples if not self.site.ledger.expectation(each.instance).may_be_absent]
        labels = self.site.ledger.labels().get(study, {})
        for label in labels:  # others may send an instance of it meanwhile
            self.site.ledger.note_label(study, label, True, False)
        deleting = self.site.ledger.begin_delete("study", study)
        if self.check(self.http.request("DELETE", f"/api/studies/{study}"), [HTTPStatus.NO_CONTENT]).status >= 300:
            return
        self.site.ledger.acknowledge(deleting)
        entries = self.check(self.http.get("/api/trash?limit=1000"), [HTTPStatus.OK]).json()
        found = [each["id"] for each in entries if each["kind"] == "study" and study in each["uids"].values()]
        if self.site.refused and not found:
            raise ServerRefused(study)  # it is listed later
        entry = found[0]
        restoring = self.site.ledger.begin_store(there)
        answer = self.check(self.http.request("POST", f"/api/trash/{entry}/restore"), [HTTPStatus.OK])
        if answer.status == HTTPStatus.OK:
            self.site.ledger.acknowledge(restoring)
            for label, may_be_there in labels.items():
                self.site.ledger.note_label(study, label, *may_be_there)


class StudyMover(StudyUser):
    """Actor that gives studies of its own to other patients, sends more of them, and undoes moves."""

    def act(self) -> None:
        """Send an instance, move its study, or undo the last move."""
        mine = self.site.ledger.choose(self.random, self.name)
        if mine is None or self.random.random() < 0.4:
            self.upload()
            return
        targets = [f"{self.name}-moved-{number}" for number in range(3)]
        if self.random.random() < 0.4 and self._undo(mine, [mine.patient_id, *targets]):
            return
        target = self.random.choice(targets)
        moving = self.site.ledger.begin_move(mine.study, target)
        body = {"patient": {"patient_id": target, "patient_name": target}}
        answer = self.http.request("POST", f"/api/studies/{mine.study}/move", body)
        there = (HTTPStatus.OK, HTTPStatus.CONFLICT)  # the latter where it is that patient's already
        if self.check(answer, [*there, _GONE]).status in there:
            self.site.ledger.acknowledge(moving)

    def _undo(self, mine: SampleInstance, patient_ids: Sequence[str]) -> bool:
        """Undo the last move of a study; return False if there is none."""
        edits = self.check(self.http.get(f"/api/studies/{mine.study}/edits"), [HTTPStatus.OK, _GONE])
        moves = edits.json() if edits.status == HTTPStatus.OK else []
        if not moves:
            return False
        ids = {patient_key(one, None, mine.study): one for one in patient_ids}
        undoing = self.site.ledger.begin_move(mine.study, ids[moves[-1]["before"]])
        path = f"/api/studies/{mine.study}/edits/{moves[-1]['edit']}"
        answer = self.check(self.http.request("DELETE", path), [HTTPStatus.NO_CONTENT, _GONE])
        if answer.status == HTTPStatus.NO_CONTENT:
            self.site.ledger.acknowledge(undoing)
        return True


class Searcher(Actor):
    """Actor that lists and searches by REST and QIDO-RS, and reports an instance that is there and not found."""

    def act(self) -> None:
        """Search for an instance that is there; it is missed if it is still there afterwards."""
        sample = self.site.ledger.choose(self.random)
        if sample is None:
            return
        if self.random.random() < 0.5:
            path = f"/api/instances?sop_instance_uid={sample.instance}"
        else:
            path = f"/dicom-web/studies/{sample.study}/instances?SOPInstanceUID={sample.instance}"
        answer = self.check(self.http.get(path), [HTTPStatus.OK, HTTPStatus.NO_CONTENT, _GONE])
        found = answer.json() if answer.status == HTTPStatus.OK else []
        if not found and not self.site.ledger.expectation(sample.instance).may_be_absent:
            self.site.report(f"{self.name}: GET {path} finds nothing, and the instance was acknowledged")


class Verifier(Actor):
    """Actor that has all files checked, and reports any that counts as damaged."""

    def act(self) -> None:
        """Begin a check of all files, wait for it a while, and look at the damage that is known."""
        body = self.check(self.http.request("POST", "/api/storage/verify", {}), [HTTPStatus.ACCEPTED]).json()
        end = time.monotonic() + _CHECK_SECONDS
        while not self.is_stopping and time.monotonic() < end:
            if self.check(self.http.get(f"/api/jobs/{body['id']}"), [HTTPStatus.OK]).json()["ended"] is not None:
                break
            time.sleep(AGAIN)
        damaged = self.check(self.http.get("/api/storage"), [HTTPStatus.OK]).json()["damaged"]
        if damaged["count"]:
            self.site.report(f"{self.name}: files count as damaged: {damaged['files'][:3]}")


class Processor(Actor):
    """Actor that runs a plugin on instances; the server keeps the results.

    Attributes
    ----------
    plugin : str
        Id of the plugin; a subclass names another one.
    """

    plugin = "test.plugin"

    def act(self) -> None:
        """Run the plugin on an instance; meanwhile its worker may be killed, or the instance deleted."""
        sample = self.site.ledger.choose(self.random)
        if sample is None:
            return
        path = f"/api/instances/{sample.instance}/process/by_plugin/{self.plugin}"
        self.check(self.http.get(path), [HTTPStatus.OK, HTTPStatus.BAD_GATEWAY, _GONE, HTTPStatus.GONE])
