// Package gateway has the tests of the gateway for people, by the real binary: beside Kubo's
// gateway, with the DAGs that boxo's own tests use, and by websites in a Chromium. They need
// Chromium, and are not part of CI: `make test-gateway` runs them.
package gateway
