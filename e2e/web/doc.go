// Package web drives the dashboard in a real Chromium, against the real binary and a real Kubo
// as the source of what is pinned. Its tests have the build tag browser, so only
// `make test-web` runs them. They need Chromium, which Debian has as chromium, and npm, from
// whose registry the accessibility checker axe-core comes.
//
// With -shots DIR a test writes the screenshots of docs/dashboard: `make dashboard-shots`.
package web
