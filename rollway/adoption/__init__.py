"""A running Deployment becomes a Rollout, with its Services and routes, while users are served.

Pure but for reading and writing: `reading` collects what stands around a Deployment, `planning` makes of it and of a wish
an `AdoptionPlan` (the Rollout, what comes before it in order, and findings), `applying` writes that and puts it back when a
write fails. The routes are the backends' matter (`adoption.py` of each).

The order makes every moment safe. The new Service comes first, and selects the pods that are there. Then the routes get it
beside the one that they have, at weight 0. Then the autoscaler is pointed at the Rollout, and last the Rollout is created,
with `workloadRef` to the Deployment. From then on the controller acts: pods of the Rollout become ready behind the same
Service, the Service is narrowed to them when all are in it, and only then do the Deployment's pods go, after a delay.
Nothing here scales anything: without a controller the Deployment goes on serving.
"""
