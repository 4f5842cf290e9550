// The modules whose CustomResourceDefinitions the tests apply; nothing is built from them.
module rollway.dev/integration/tools/crds

go 1.26.1

require (
	github.com/argoproj/argo-rollouts v1.10.1
	github.com/traefik/mesh v1.4.8
	istio.io/api v1.31.4
	sigs.k8s.io/gateway-api v1.6.3
)
