"""Feature flags: which of the app's protections are on. settings.py reads them once from the environment.

Each is off by default, and every combination works; docs/rollout.md says what "off" means.
"""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class FeatureFlags:
    """The flags. The environment variable of `retry_logic` is FEATURE_USE_RETRY_LOGIC."""

    secret_manager: bool = False
    azure_keyvault: bool = False
    retry_logic: bool = False
    circuit_breaker: bool = False
    rollback: bool = False
    telemetry: bool = False
    health_checks: bool = False

    @staticmethod
    def variable(name: str) -> str:
        """Return the environment variable of a field."""
        return f"FEATURE_USE_{name.upper()}"

    def as_dict(self) -> dict[str, bool]:
        """Return the flags by environment variable, in the order of the fields."""
        return {self.variable(f.name): getattr(self, f.name) for f in fields(self)}

    def log_status(self) -> str:
        """Return one line with what is on, what is off, and if that is ready for production.

        The log of a start, the first trace of telemetry, and health contain it.
        """
        on = [name for name, value in self.as_dict().items() if value]
        off = [name for name, value in self.as_dict().items() if not value]
        fit = "ready for production" if self.is_production_ready() else "not ready for production"
        return f"feature flags on: {', '.join(on) or 'none'}; off: {', '.join(off) or 'none'}; {fit}"

    def is_production_ready(self) -> bool:
        """Return True if every protection is on."""
        return all(self.as_dict().values())


ALL_ON = FeatureFlags(**{f.name: True for f in fields(FeatureFlags)})
"""The values in local.settings.sample.json and infra/."""
