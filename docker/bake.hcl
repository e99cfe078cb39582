// SPDX-License-Identifier: PostgreSQL
// Both servers for both architectures: docker buildx bake -f docker/bake.hcl
group "default" {
  targets = ["pg17", "pg18"]
}

target "base" {
  context    = "."
  dockerfile = "docker/Dockerfile"
  platforms  = ["linux/amd64", "linux/arm64"]
}

target "pg17" {
  inherits = ["base"]
  args     = { PG_MAJOR = "17" }
  tags     = ["ruvector:17"]
}

target "pg18" {
  inherits = ["base"]
  args     = { PG_MAJOR = "18" }
  tags     = ["ruvector:18", "ruvector:latest"]
}
