module rollway.dev/integration/tools/pods

go 1.25.0
