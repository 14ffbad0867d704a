// Package s3 tests backups to a bucket against a real server of the S3 API, the Versity S3
// Gateway, which go.mod pins. It is a module of its own, since nothing else needs that server.
// `make test-s3` runs it.
package s3
