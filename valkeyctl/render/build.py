"""One call from a profile to everything that deploys it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from valkeyctl.errors import ProfileError
from valkeyctl.profile.schema import Profile
from valkeyctl.render.artefacts import COMPOSE, POD, Artefacts, digest_of
from valkeyctl.render.bridge import bridge
from valkeyctl.render.budget import plan_memory
from valkeyctl.render.compose import compose_text
from valkeyctl.render.conf import conf_text, directives
from valkeyctl.render.container import publish_address, secret_files
from valkeyctl.render.pod import pod_shape, pod_text, pods_text
from valkeyctl.render.sentinelconf import sentinel_settings
from valkeyctl.render.topology import topology_problems, unit_plans
from valkeyctl.render.unitplan import UnitPlan


def render(profile: Profile) -> Artefacts:
    """Return the files that deploy *profile*, and what a runtime must know beside them.

    The same profile always gives the same text. Nothing in it is secret.

    Raises:
        ProfileError: A field asks for something that cannot be deployed.
        BudgetError: The memory does not fit the limit.
    """
    refuse_unsupported(profile)
    budget = plan_memory(profile)
    settings = directives(profile, budget)
    plans = unit_plans(profile, budget, conf_text(profile, budget, settings), settings)
    standalone = profile.topology == "standalone"
    whole = Artefacts(
        name=profile.name,
        app=profile.app,
        files={},
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
        user=profile.security.user,
        group=profile.security.group,
        production=profile.security.production,
        topology=profile.topology,
        profile=profile.name,
        network=None if standalone else bridge(profile),
        pod_shape=pod_shape(plans[0]) if standalone else "",
        material=secret_files(profile),
    )
    nodes = () if standalone else tuple(_unit(whole, plan, plans) for plan in plans)
    return replace(whole, files=_whole_files(profile, plans, nodes), nodes=nodes)


def _whole_files(
    profile: Profile, plans: Sequence[UnitPlan], nodes: Sequence[Artefacts]
) -> Mapping[str, str]:
    """Return all files of a deployment; units of one kind share their configuration."""
    configs = {name: text for plan in plans for name, text in plan.config.items()}

    def files(digest: str) -> dict[str, str]:
        pods = (
            pods_text(
                profile, [(plan, node.digest) for plan, node in zip(plans, nodes, strict=True)]
            )
            if nodes
            else pod_text(plans[0], digest)
        )
        return {**configs, POD: pods, COMPOSE: compose_text(profile, plans, digest)}

    return _labelled(files)


def _unit(whole: Artefacts, plan: UnitPlan, plans: Sequence[UnitPlan]) -> Artefacts:
    """Return the artefacts of one server or sentinel of a topology."""
    start = next(other for other in plans if other.primary)
    is_sentinel, is_cluster = plan.kind == "sentinel", whole.topology == "cluster"

    def files(digest: str) -> dict[str, str]:
        return {**plan.config, POD: pod_text(plan, digest)}

    return replace(
        whole,
        name=plan.name,
        files=_labelled(files),
        directives=sentinel_settings(plan.profile) if is_sentinel else whole.directives,
        port=plan.port,
        budget=plan.budget,
        keeps_data=whole.keeps_data or is_sentinel,
        kind=plan.kind,
        address=plan.spot.address if plan.spot else "",
        mac=plan.spot.mac if plan.spot else "",
        pod_shape=pod_shape(plan),
        material=secret_files(plan.profile, plan.kind),
        primary=plan.primary,
        start_address="" if is_cluster or start.spot is None else start.spot.address,
        start_port=0 if is_cluster else start.port,
        # After the last of the ports that clients use.
        bus_port=plan.port + len(plans) if is_cluster else 0,
    )


def _labelled(files: Callable[[str], dict[str, str]]) -> Mapping[str, str]:
    """Return *files* with their own digest in their labels."""
    return files(digest_of(files("")))


def refuse_unsupported(profile: Profile) -> None:
    """Refuse what the schema allows and cannot be deployed.

    Raises:
        ProfileError: It names each of them.
    """
    asked = {
        "exporter.enabled": (profile.exporter.enabled, "write false"),
    }
    problems = [
        profile.problem(key, f"this version cannot deploy it yet; {instead}")
        for key, (wanted, instead) in asked.items()
        if wanted
    ]
    problems += topology_problems(profile)
    if problems:
        raise ProfileError(
            tuple(problems), hint="See what a profile can hold: docs/reference/profile.md"
        )
