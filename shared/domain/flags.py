"""Feature flags: which of the app's protections are on. Read from the environment by settings.py, never changed later.

Each is off unless the environment says otherwise, and every combination works; docs/rollout.md says what "off" means.
"""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class FeatureFlags:
    """One field a flag; the environment variable of `retry_logic` is FEATURE_USE_RETRY_LOGIC."""

    secret_manager: bool = False
    azure_keyvault: bool = False
    retry_logic: bool = False
    circuit_breaker: bool = False
    rollback: bool = False
    telemetry: bool = False
    health_checks: bool = False

    @staticmethod
    def variable(name: str) -> str:
        """The environment variable of a field."""
        return f"FEATURE_USE_{name.upper()}"

    def as_dict(self) -> dict[str, bool]:
        """By environment variable, in the order of the fields."""
        return {self.variable(f.name): getattr(self, f.name) for f in fields(self)}

    def log_status(self) -> str:
        """One line that says what is on, what is off, and whether that is fit for production: for the log of a start,
        telemetry's first trace, and health."""
        on = [name for name, value in self.as_dict().items() if value]
        off = [name for name, value in self.as_dict().items() if not value]
        fit = "ready for production" if self.is_production_ready() else "not ready for production"
        return f"feature flags on: {', '.join(on) or 'none'}; off: {', '.join(off) or 'none'}; {fit}"

    def is_production_ready(self) -> bool:
        """Whether every protection is on."""
        return all(self.as_dict().values())


ALL_ON = FeatureFlags(**{f.name: True for f in fields(FeatureFlags)})
"""What local.settings.sample.json and infra/ set."""
