// Package authtest helps to test what stands on, and what stands in for,
// [auth.Accounts]: [Accounts] keeps them in memory, and [RunAccounts] is the
// suite that every implementation passes.
package authtest
