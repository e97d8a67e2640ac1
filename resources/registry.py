"""MLflow's model registry: a model version per bundle, with semantic version, provenance, changelog and aliases.

A version is registered only with proof of reload parity for exactly its bundle (B4), and goes into production only with
the sign-off that is bound to it (B3): registering points `challenger` at it, promoting points `champion` at it. The
same bundle is never registered twice, and no version is overwritten: what a version was made with stays as it is, later
approvals of it are tags beside that, and going back is moving an alias.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from playbook.authority import no_reason, not_allowed, owner_named, plain_text
from playbook.errors import PromotionRefused
from playbook.operate.bundle import bundle_hash
from playbook.operate.changelog import changed_text
from playbook.operate.promotion import (
    against_promotion,
    against_rollback,
    held_back,
    move_inputs,
    rolled_back,
    standing,
    version_before,
)
from playbook.operate.versions import CHALLENGER, PREVIOUS, version_of
from resources.model_folder import save_model
from resources.model_versions import ModelVersions
from resources.release import TAGS, Registered, Release, registered, require_parity, version_tags

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

    from playbook.decide.log import DecisionLog, Entry
    from playbook.spec.target import Owners

__all__ = ["TAGS", "Registered", "Registry", "Release"]
APPROVED = "playbook/approved."  # and the first digits of the approval: an approval after the one it was made with


class Registry(ModelVersions):
    """Model versions of one MLflow store: registered, promoted, rolled back."""

    def register(self, release: Release) -> Registered:
        """Register a bundle as the challenger, or find the version that already holds it.

        A version that is found keeps number, tags and description; another approval becomes a tag of its own. Nothing
        serves what was only registered: see `promote`.

        Raises:
            ParityError: parity is not proven for this bundle; nothing is registered.
            ArtifactError: the folder is not a clean bundle.
            ValueError: it was refreshed from a version that does not exist.
        """
        sha256 = bundle_hash(release.bundle)
        require_parity(release, sha256)
        with self.tracking.locked("registry"):
            known = self.known(release.name)
            same = next((v for v in known if v.tags.get(TAGS["bundle_sha256"]) == sha256), None)
            if same is not None:
                self._note_approval(release, same)
                return registered(same, reused=True)
            made = self._create(release, sha256, known)
            self.tracking.client.set_registered_model_alias(release.name, CHALLENGER, made.registry_version)
        return made

    def promote(self, name: str, version: str, alias: str, log: DecisionLog, *, approval: str = "") -> Registered:
        """Put a version into production: `alias` points at it, `previous` at what was there, `challenger` goes.

        The entry of the decision log is written first. A version that is in production already stays there.

        Args:
            name: of the model.
            version: semantic.
            alias: that production follows, `champion`.
            log: the task's decision log, which is verified.
            approval: entry of the log that approves the version; the one that it was made with, if not given.

        Raises:
            PromotionRefused: no approval in the log covers this very version, it was rejected or rolled back since,
                or the registry no longer holds what was registered.
            LogTampered: the decision log is broken.
            ArtifactError: there is no such version.
        """
        with self.tracking.locked("registry"):
            found, entries = self.find(name, version), log.entries()
            approval = approval or found.tags.get(TAGS["decision"], "")
            now = self.at_alias(name, alias)
            if now == found and standing(entries, alias).champion == version:
                return found
            reasons = against_promotion(name, found.own_tags, approval, entries)
            reasons = reasons or [text for text in (held_back(version, alias, approval, entries),) if text]
            reasons += self.damage(found)
            if reasons:
                raise PromotionRefused(f"{name} {version}: not promoted to {alias}", reasons)
            before = now.own_tags if now is not None and now != found else {}
            title = f"{version} is {alias}" + (f" in place of {before['version']}" if before else "")
            inputs = move_inputs(alias, before, found.own_tags, decision=approval)
            body = {"changelog": found.tags.get(TAGS["changelog"], "")}
            log.append_once(alias, "promotion", title, by="playbook", inputs=inputs, body=body)
            self._move(name, alias, found, now)
        return found

    def rollback(
        self, name: str, alias: str, log: DecisionLog, owners: Owners, *, by: str, reason: str, to: str = ""
    ) -> tuple[Registered, Registered]:
        """Put an earlier version back into production; returns what was there and what is there now.

        It goes to the version that was promoted before the one in place, never to one that was rolled back from: that
        one comes back by a new approval, or where the sign-off owner names it. `previous` then points at the version
        that was in production. The entry of the decision log is written before an alias moves.

        Args:
            name: of the model.
            alias: that production follows.
            log: the task's decision log, which is verified.
            owners: of the task file; one of them decides.
            by: who decides.
            reason: why.
            to: semantic version; the one before, if not given.

        Raises:
            PromotionRefused: by somebody who may not, without a reason, nothing to go back from or to, the version was
                never in production, or is damaged.
            LogTampered: the decision log is broken.
        """
        what, said = f"{name}: not rolled back", plain_text(reason)
        reasons = not_allowed(owners, "rollback", by) + no_reason(said, "--reason")
        if reasons:
            raise PromotionRefused(what, reasons)
        with self.tracking.locked("registry"):
            entries, now = log.entries(), self.at_alias(name, alias)
            if now is None:
                raise PromotionRefused(what, [f"nothing is in production: no version has the alias {alias}"])
            target = self._target(name, what, to or self._before(what, entries, alias, now.version))
            reasons = against_rollback(entries, alias, now.own_tags, target.own_tags)
            bad = rolled_back(entries, alias).get(target.version)
            if bad is not None:
                reasons += [f"{text} ({_left(bad)})" for text in not_allowed(owners, "reinstate", by)]
            reasons += self.damage(target)
            if reasons:
                raise PromotionRefused(what, reasons)
            title = f"rolled back from {now.version} to {target.version}: {said}"
            body = {"reason": said, **({"reinstates": bad.sha256} if bad is not None else {})}
            inputs = move_inputs(alias, now.own_tags, target.own_tags)
            log.append("rollback", title, by=owner_named(owners, by), inputs=inputs, body=body, key=alias)
            self._move(name, alias, target, now)
        return now, target

    def held_back(self, name: str, version: str, alias: str, log: DecisionLog, approval: str) -> str:
        """Why an approval of a version does not promote it now, after a rollback or a later version; else nothing."""
        now = self.at_alias(name, alias)
        if now is not None and now.version == version:
            return ""
        return held_back(version, alias, approval, log.entries())

    def point(self, name: str, alias: str, version: str) -> Registered:
        """Point an alias at a semantic version that exists, and nothing else: production moves by `promote`.

        Raises:
            ArtifactError: there is no such version.
        """
        found = self.find(name, version)
        self.tracking.client.set_registered_model_alias(name, alias, found.registry_version)
        return found

    def _before(self, what: str, entries: Sequence[Entry], alias: str, now: str) -> str:
        """The version that a rollback goes to where none is named."""
        found = version_before(entries, alias, now)
        if not found:
            bad = "; ".join(_left(entry) for entry in rolled_back(entries, alias).values())
            raise PromotionRefused(
                what,
                [
                    f"no version was in production before {now} that nobody rolled back from"
                    + (f": {bad}. The sign-off owner may put one of them back by its name (--to)" if bad else "")
                ],
            )
        return found

    def _target(self, name: str, what: str, to: str) -> Registered:
        """The version to go back to."""
        known = {one.version: one for one in self.versions(name)}
        if to not in known:
            raise PromotionRefused(what, [f"expected one of versions {', '.join(known)}, found {to} (--to)"])
        return known[to]

    def _move(self, name: str, alias: str, found: Registered, now: Registered | None) -> None:
        """Move the aliases; each step may be repeated after a crash."""
        client = self.tracking.client
        if now is not None and now != found:
            client.set_registered_model_alias(name, PREVIOUS, now.registry_version)
        client.set_registered_model_alias(name, alias, found.registry_version)
        challenger = self.at_alias(name, CHALLENGER)
        if challenger == found:
            client.delete_registered_model_alias(name, CHALLENGER)

    def _note_approval(self, release: Release, same: ModelVersion) -> None:
        """Add who approved a version again, under the approval's own hash; nothing that is there is changed."""
        decision = release.decision
        tag = f"{APPROVED}{decision[:12]}"
        if decision and decision != same.tags.get(TAGS["decision"]) and tag not in same.tags:
            said = {"decision": decision, "report_sha256": release.report_sha256, **release.tags}
            self.tracking.client.set_model_version_tag(
                release.name, str(same.version), tag, json.dumps(said, sort_keys=True)
            )

    def _create(self, release: Release, sha256: str, known: list[ModelVersion]) -> Registered:
        from mlflow.exceptions import MlflowException

        client = self.tracking.client
        try:
            client.create_registered_model(release.name, tags={"playbook/task": release.name})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        version, changelog = _numbered(release, {one.version: one for one in map(registered, known)})
        model = self._log_model(release, sha256)
        # Tags come with the version in one step: there is never a version without its provenance.
        created = client.create_model_version(
            release.name,
            source=model.artifact_location,
            run_id=release.run_id,
            model_id=model.model_id,
            tags=version_tags(release, sha256, version, changelog),
            description=release.description or None,
        )
        return registered(created)

    def _log_model(self, release: Release, sha256: str) -> LoggedModel:
        """Upload the model's folder as a logged model of its run."""
        from mlflow.entities import LoggedModelOutput

        client = self.tracking.client
        run = client.get_run(release.run_id)
        logged = client.create_logged_model(
            run.info.experiment_id, name=release.name, source_run_id=release.run_id, model_type="classifier"
        )
        try:
            with tempfile.TemporaryDirectory(prefix="model-") as scratch:
                folder = Path(scratch) / "model"
                save_model(
                    folder,
                    release.bundle,
                    release.labels,
                    example=release.example,
                    bundle_sha256=sha256,
                    run_id=release.run_id,
                    model_id=logged.model_id,
                )
                client.log_model_artifacts(logged.model_id, str(folder))
        except BaseException:
            client.finalize_logged_model(logged.model_id, "FAILED")
            raise
        client.finalize_logged_model(logged.model_id, "READY")
        client.log_outputs(release.run_id, [LoggedModelOutput(logged.model_id, step=0)])
        return logged


def _left(entry: Entry) -> str:
    """Who rolled back from a version, and why."""
    said = f"{entry.by} rolled back from {entry.inputs.get('from')}"
    return f"{said} (entry {entry.index}: {entry.body.get('reason', '')})"


def _numbered(release: Release, known: Mapping[str, Registered]) -> tuple[str, str]:
    """The next version of a release, and its changelog line: what changed, and the delta, over the version before.

    The version before is the one that served when the release was made: after a rollback that is not the latest.
    """
    identities = {version: one.identity for version, one in known.items()}
    version, before = version_of(identities, release.identity, release.refreshed_from)
    before = release.replaces if release.replaces in known else before
    was = {"version": before, "dataset": known[before].own_tags.get("dataset_version", "")} if before else {}
    now = {"dataset": str(release.dataset_version), "source": release.source, "refreshed_from": release.refreshed_from}
    changed = changed_text(identities.get(before), release.identity, was, now)
    unmeasured = f"no version served when it was made, so there is no delta over {before}"
    parts = (changed, release.gain, unmeasured if before and not (release.replaces or release.refreshed_from) else "")
    return version, "; ".join(part for part in parts if part)
