"""A backend outside rollway, as an example: the weights of a WeightedRoute of the imaginary Acme router.

Its distribution names it in the group `rollway.backends` of its entry points: `acme = rollway_acme:PACKAGE`.
"""

from rollway.routers.backends import AddressOption, BackendPackage

ADMIN = AddressOption("acme-admin", "Admin port (9900) of an Acme router.")
PACKAGE = BackendPackage(
    "acme", __name__, paths=(("acme",), ("plugins", "acme.example.com/rollway")), addresses=(ADMIN,)
)
