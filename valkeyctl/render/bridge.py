"""The bridge of a topology: its subnet, and a fixed place on it for each unit.

Servers and sentinels tell each other and their clients addresses, and write them down;
so an address must still be the unit's own after a restart. The MAC is fixed with it:
Podman 4 does not announce a new one, and peers would not reach a unit that was made
anew for half a minute.
"""

from __future__ import annotations

import hashlib
import ipaddress

from valkeyctl.profile.schema import Profile
from valkeyctl.render.artefacts import BridgeNetwork, Kind
from valkeyctl.render.unitplan import Spot

# The network's own address and the gateway's.
_RESERVED = 2


def bridge(profile: Profile) -> BridgeNetwork:
    """Return the bridge of *profile*: its subnet, or one that follows from the name."""
    if profile.network.subnet is not None:
        return BridgeNetwork(f"{profile.name}-net", profile.network.subnet)
    digest = hashlib.sha256(profile.name.encode()).digest()
    return BridgeNetwork(f"{profile.name}-net", f"10.{128 + digest[0] % 64}.{digest[1]}.0/24")


def room(network: BridgeNetwork) -> int:
    """Return how many units *network* has room for, in the lower half of its addresses.

    Podman gives the upper half to containers that join without a fixed address.
    """
    size = ipaddress.IPv4Network(network.subnet).num_addresses
    return max(size // 2 - _RESERVED, 0)


def dynamic_range(network: BridgeNetwork) -> str:
    """Return the half, in CIDR form, that Podman gives addresses from by itself."""
    subnet = ipaddress.IPv4Network(network.subnet)
    return str(list(subnet.subnets())[1])


def spot(network: BridgeNetwork, kind: Kind, index: int, unit: str) -> Spot:
    """Return the place of *unit*, the one of its *kind* at *index* from 0.

    Servers have the first addresses and sentinels the last, downwards: with more of one
    kind, all that there were before keep theirs.
    """
    subnet = ipaddress.IPv4Network(network.subnet)
    last = subnet.num_addresses // 2 - 1
    offset = last - index if kind == "sentinel" else _RESERVED + index
    digest = hashlib.sha256(f"{network.name} {unit}".encode()).digest()
    # 02: administered locally, of one interface.
    mac = ":".join(f"{byte:02x}" for byte in (2, *digest[:5]))
    return Spot(network, str(subnet[offset]), mac)
