"""One call from a profile to everything that deploys it."""

from __future__ import annotations

from valkeyctl.errors import ProfileError
from valkeyctl.profile.schema import Profile
from valkeyctl.render.artefacts import COMPOSE, CONF, POD, Artefacts, digest_of
from valkeyctl.render.budget import plan_memory
from valkeyctl.render.compose import compose_text
from valkeyctl.render.conf import conf_text, directives
from valkeyctl.render.container import publish_address
from valkeyctl.render.pod import pod_text


def render(profile: Profile) -> Artefacts:
    """Return the files that deploy *profile*, and what a runtime must know beside them.

    The same profile always gives the same text. Nothing in it is secret.

    Raises:
        ProfileError: A field asks for something that cannot be deployed yet.
        BudgetError: The memory does not fit the limit.
    """
    refuse_unsupported(profile)
    budget = plan_memory(profile)
    settings = directives(profile, budget)
    conf = conf_text(profile, budget, settings)

    def files(digest: str) -> dict[str, str]:
        return {
            CONF: conf,
            POD: pod_text(profile, budget, conf, digest),
            COMPOSE: compose_text(profile, budget, digest),
        }

    return Artefacts(
        name=profile.name,
        app=profile.app,
        files=files(digest_of(files(""))),
        directives=settings,
        image=profile.image,
        pull=profile.pull,
        host=publish_address(profile),
        port=profile.port,
        stop_grace=profile.stop.grace,
        budget=budget,
        keeps_data=profile.persistence.mode != "none",
        tls=profile.tls.enabled,
        auth=profile.auth.enabled,
    )


def refuse_unsupported(profile: Profile) -> None:
    """Refuse the fields that are in the schema and cannot be honoured by this version.

    Raises:
        ProfileError: It names each of them.
    """
    asked = {
        "topology": (profile.topology != "standalone", "write standalone"),
        "auth.enabled": (profile.auth.enabled, "write false"),
        "auth.password": (profile.auth.password is not None, "take it out"),
        "tls.enabled": (profile.tls.enabled, "write false"),
        "network.subnet": (profile.network.subnet is not None, "take it out"),
        "replication.replicas": (profile.replication.replicas > 0, "write 0"),
        "exporter.enabled": (profile.exporter.enabled, "write false"),
    }
    problems = tuple(
        profile.problem(key, f"this version cannot deploy it yet; {instead}")
        for key, (wanted, instead) in asked.items()
        if wanted
    )
    if problems:
        raise ProfileError(problems, hint="See what a profile can hold: docs/reference/profile.md")
