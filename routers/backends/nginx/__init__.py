"""ingress-nginx: one canary Ingress of ours beside each stable Ingress of the user's."""

from rollway.routers.backends import AddressOption, BackendPackage
from rollway.routers.objects import Access

STATUS = AddressOption(
    "nginx-status", "Status port (10246) of an ingress-nginx controller; repeat it for every pod."
)
PACKAGE = BackendPackage(
    "nginx",
    __name__,
    addresses=(STATUS,),
    kinds=(("networking.k8s.io", "Ingress", Access.MANAGED),),
)
