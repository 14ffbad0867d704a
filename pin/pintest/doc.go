// Package pintest helps to test what stands on, and what stands in for,
// [pin.Records]: [Records] keeps them in memory, [RunRecords] is the suite that
// every implementation passes, and [RunModel] holds one against the other
// through thousands of random calls.
package pintest
