// Package pintest helps to test packages that use [pin.Records] or [pin.Engine], and
// packages that implement them. [Records] keeps requests in memory. [RunRecords] is the
// suite that every implementation of pin.Records passes, and [RunModel] compares one with
// [Records] through thousands of random calls. [RunEngine] is the suite that every
// implementation of pin.Engine passes.
package pintest
