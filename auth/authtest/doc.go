// Package authtest helps to test packages that use [auth.Accounts], and packages that
// implement it. [Accounts] keeps accounts in memory. [RunAccounts] is the suite that every
// implementation passes.
package authtest
