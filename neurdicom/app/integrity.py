"""Composition of the services that check stored files."""

from dataclasses import dataclass

from neurdicom.app.storage import Storage
from neurdicom.archive.quota.service import QuotaService
from neurdicom.archive.trash.check import SetAsideChecker
from neurdicom.archive.verify.check import FileChecker
from neurdicom.archive.verify.guard import FileGuard
from neurdicom.archive.verify.healing import Healer
from neurdicom.archive.verify.periodic import PeriodicCheck
from neurdicom.archive.verify.registry import DamageRegistry
from neurdicom.archive.verify.repair import Repairer
from neurdicom.archive.verify.verification import Verification
from neurdicom.config import Settings
from neurdicom.data_folder import server_name
from neurdicom.plugins.service import ModelService, PluginService
from neurdicom.processing.result_store import ResultStore
from neurdicom.processing.storage import StorageOverview


@dataclass(frozen=True, slots=True)
class IntegrityServices:
    """Services that check stored files, and refuse damaged ones."""

    damage: DamageRegistry
    checker: FileChecker
    aside: SetAsideChecker
    guard: FileGuard
    healer: Healer
    verification: Verification
    periodic: PeriodicCheck


def compose_integrity(settings: Settings, storage: Storage, *, announces: bool = False) -> IntegrityServices:
    """Make the services that check stored files, and refuse damaged ones.

    Parameters
    ----------
    settings : Settings
    storage : Storage
        Catalog and blob store.
    announces : bool
        Whether this is a command, which tells a running server at once what it finds.
    """
    catalog, blobs = storage.catalog, storage.blobs
    damage = DamageRegistry(storage.documents, settings.data, announces=announces)
    checker = FileChecker(catalog, blobs, damage)
    aside = SetAsideChecker(catalog, blobs, damage)
    repairer = Repairer(catalog, blobs, damage, checker)
    verification = Verification(catalog, blobs, damage, checker, aside, repairer)
    return IntegrityServices(
        damage=damage,
        checker=checker,
        aside=aside,
        guard=FileGuard(catalog, blobs, damage, checker),
        healer=Healer(catalog, blobs, damage, checker, repairer),
        verification=verification,
        periodic=PeriodicCheck(
            storage.documents,
            verification,
            server_name(settings.data),
            days=settings.verify_days,
            rate=settings.verify_rate,
        ),
    )


def make_overview(
    settings: Settings,
    integrity: IntegrityServices,
    quota: QuotaService,
    results: ResultStore,
    plugins: PluginService,
    models: ModelService,
) -> StorageOverview:
    """Make the service that counts what is stored.

    Parameters
    ----------
    settings : Settings
    integrity : IntegrityServices
        Know the last check and damaged files.
    quota : QuotaService
        Measures what instances and the trash take.
    results : ResultStore
        Counts its results.
    plugins, models : PluginService, ModelService
        Count what is installed.
    """
    packages = {"plugins": lambda: len(plugins.all()), "models": lambda: len(models.all())}
    return StorageOverview(settings.data, integrity.verification, integrity.damage, quota, results, packages)
