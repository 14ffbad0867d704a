// Calls every operation with the client that ogen generates into this package:
// main BASE EMAIL PASSWORD. It prints the operations that it called.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bearer is the token that is shown.
type bearer struct{ token string }

func (b *bearer) AccessToken(context.Context, OperationName) (AccessToken, error) {
	return AccessToken{Token: b.token}, nil
}

// got ends the run unless the answer is of the type that is the operation's success.
func got[Success any](operation string, answer any, err error) Success {
	success, ok := answer.(Success)
	if err == nil && !ok {
		err = fmt.Errorf("it answers %T %+v", answer, answer)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", operation, err)
		os.Exit(1)
	}
	fmt.Println(operation)
	return success
}

func run(ctx context.Context, base, email, password string) error {
	token := &bearer{}
	c, err := NewClient(base, token)
	if err != nil {
		return err
	}
	const root = "bafkqaaa"
	health, err := c.Health(ctx)
	got[*HealthOK]("health", health, err)
	ready, err := c.Ready(ctx)
	got[*ReadyOK]("ready", ready, err)
	description, err := c.GetDescription(ctx)
	text, readErr := io.ReadAll(got[*GetDescriptionOKHeaders]("getDescription", description, err).Response)
	if readErr != nil || !bytes.HasPrefix(text, []byte("openapi:")) {
		return fmt.Errorf("the description is %.40q, %v", text, readErr)
	}
	login := func(password string) *Session {
		answer, err := c.Login(ctx, &LoginApplicationJSON{Email: email, Password: password})
		s := got[*Session]("login", answer, err)
		token.token = s.AccessToken
		return s
	}
	session := login(password)
	formed, err := c.Login(ctx, &LoginApplicationXWwwFormUrlencoded{Email: email, Password: password})
	got[*Session]("login", formed, err)
	renewed, err := c.Refresh(ctx, &RefreshApplicationJSON{RefreshToken: session.RefreshToken})
	token.token = got[*Session]("refresh", renewed, err).AccessToken
	me, err := c.Me(ctx)
	if m := got[*MeOK]("me", me, err); string(m.Account.Email.Value) != email {
		return fmt.Errorf("me is %+v", m)
	}

	added, err := c.AddAccount(ctx, &AddAccountReq{Email: "made2@example.com", Password: "correct horse battery", Quota: NewOptQuota(1 << 30)})
	id := got[*OneAccount]("addAccount", added, err).Account.ID.String()
	accounts, err := c.ListAccounts(ctx)
	got[*ListAccountsOK]("listAccounts", accounts, err)
	account, err := c.GetAccount(ctx, GetAccountParams{ID: id})
	got[*OneAccount]("getAccount", account, err)
	quota, err := c.SetQuota(ctx, &SetQuotaReq{MaxPins: NewOptMaxPins(5)}, SetQuotaParams{ID: id})
	got[*OneAccount]("setQuota", quota, err)
	disabled, err := c.DisableAccount(ctx, DisableAccountParams{ID: id})
	got[*OneAccount]("disableAccount", disabled, err)
	enabled, err := c.EnableAccount(ctx, EnableAccountParams{ID: id})
	got[*OneAccount]("enableAccount", enabled, err)
	role, err := c.SetRole(ctx, &SetRoleReq{Admin: true}, SetRoleParams{ID: id})
	got[*OneAccount]("setRole", role, err)
	reset, err := c.SetPassword(ctx, &SetPasswordReq{Password: "staple correct horse", OwnPassword: password}, SetPasswordParams{ID: id})
	got[*SetPasswordOK]("setPassword", reset, err)
	theirs, err := c.ListAccountPins(ctx, ListAccountPinsParams{ID: id, Meta: NewOptPinMeta(PinMeta{"app": "x"}), Limit: NewOptInt32(100)})
	got[*ListAccountPinsOK]("listAccountPins", theirs, err)
	owners, err := c.ListOwners(ctx)
	got[*ListOwnersOK]("listOwners", owners, err)
	removed, err := c.RemoveAccount(ctx, RemoveAccountParams{ID: id})
	got[*RemoveAccountOK]("removeAccount", removed, err)
	invited, err := c.AddInvite(ctx, &AddInviteReq{ExpiresIn: NewOptInt64(60)})
	invite := got[*AddInviteCreated]("addInvite", invited, err)
	invites, err := c.ListInvites(ctx)
	if all := got[*ListInvitesOK]("listInvites", invites, err).Invites; len(all) != 1 || all[0].ID != invite.ID {
		return fmt.Errorf("invitations are %+v", all)
	}
	registered, err := c.Register(ctx, &RegisterApplicationJSON{
		Email: "ogen@example.com", Password: "correct horse battery", Invite: NewOptString(invite.Invite),
	})
	got[*Session]("register", registered, err)
	if invited, err = c.AddInvite(ctx, &AddInviteReq{}); err != nil {
		return err
	}
	revoked, err := c.RevokeInvite(ctx, RevokeInviteParams{ID: got[*AddInviteCreated]("addInvite", invited, err).ID})
	got[*RevokeInviteOK]("revokeInvite", revoked, err)
	events, err := c.Audit(ctx, AuditParams{Limit: NewOptInt(5)})
	got[*AuditOK]("audit", events, err)

	if err := store(ctx, c); err != nil {
		return err
	}

	asked := &Pin{Cid: root, Name: NewOptString("a name"), Meta: NewOptPinMeta(PinMeta{"app": "with a space"})}
	once := AddPinParams{IdempotencyKey: NewOptString(`"a key"`)}
	pinned, err := c.AddPin(ctx, asked, once)
	pin := got[*PinStatus]("addPin", pinned, err)
	pinned, err = c.AddPin(ctx, asked, once)
	if again := got[*PinStatus]("addPin", pinned, err); again.Requestid != pin.Requestid {
		return fmt.Errorf("sent again it is %+v", again)
	}
	pins, err := c.GetPins(ctx, GetPinsParams{
		Cid: []string{root}, Status: []Status{StatusQueued, StatusPinning, StatusPinned, StatusFailed},
		Name: NewOptString("a name"), Meta: NewOptPinMeta(PinMeta{"app": "with a space"}),
	})
	if found := got[*PinResults]("getPins", pins, err); found.Count != 1 || found.Results[0].Requestid != pin.Requestid {
		return fmt.Errorf("pins are %+v", found)
	}
	one, err := c.GetPinByRequestId(ctx, GetPinByRequestIdParams{Requestid: pin.Requestid})
	got[*PinStatus]("getPinByRequestId", one, err)
	replaced, err := c.ReplacePinByRequestId(ctx, &Pin{Cid: root}, ReplacePinByRequestIdParams{Requestid: pin.Requestid})
	gone, err2 := c.DeletePinByRequestId(ctx, DeletePinByRequestIdParams{Requestid: got[*PinStatus]("replacePinByRequestId", replaced, err).Requestid})
	got[*DeletePinByRequestIdAccepted]("deletePinByRequestId", gone, err2)

	made, err := c.CreateToken(ctx, &CreateTokenReq{Name: "kubo", Scope: NewOptScope(ScopePin)})
	device := got[*CreateTokenCreated]("createToken", made, err)
	tokens, err := c.ListTokens(ctx)
	got[*ListTokensOK]("listTokens", tokens, err)
	ended, err := c.RevokeToken(ctx, RevokeTokenParams{ID: device.ID.String()})
	got[*RevokeTokenOK]("revokeToken", ended, err)
	changed, err := c.ChangePassword(ctx, &ChangePasswordReq{Password: password, NewPassword: Password(password + "!")})
	got[*ChangePasswordOK]("changePassword", changed, err)
	login(password + "!")
	out, err := c.Logout(ctx)
	got[*Done]("logout", out, err)
	login(password + "!")
	all, err := c.LogoutAll(ctx)
	got[*LogoutAllOK]("logoutAll", all, err)
	return nil
}

// store calls what is about the store and the server as a whole.
func store(ctx context.Context, c *Client) error {
	stats, err := c.StoreStats(ctx)
	if s := got[*StoreStats]("storeStats", stats, err); s.Accounts < 1 || s.FreeBytes == 0 || s.Requests != (RequestCounts{}) || s.UnreadableBlocks != nil {
		return fmt.Errorf("the store has %+v", s)
	}
	began, err := c.BeginRun(ctx, &BeginRunReq{Kind: RunKindVerify})
	begun := got[*BeginRunAccepted]("beginRun", began, err).Run
	if begun.Kind != RunKindVerify || !begun.By.Set || time.Since(begun.Began).Abs() > time.Hour {
		return fmt.Errorf("it began %+v", begun)
	}
	ended, err := c.EndRun(ctx, EndRunParams{ID: begun.ID.String()})
	got[*EndRunOK]("endRun", ended, err)
	for {
		answer, err := c.ListRuns(ctx)
		runs := got[*ListRunsOK]("listRuns", answer, err).Runs
		if len(runs) != 1 || runs[0].ID != begun.ID || len(runs[0].Damage) != 0 {
			return fmt.Errorf("runs are %+v", runs)
		}
		if one := runs[0]; !one.Ended.Set {
			continue
		} else if one.Verified.Set == one.Failure.Set || one.Reclaimed.Set {
			return fmt.Errorf("it ended as %+v", one)
		}
		break
	}
	history, err := c.ServerHistory(ctx, ServerHistoryParams{Of: NewOptServerHistoryOf(ServerHistoryOfDay)})
	if all := got[*ServerHistoryOK]("serverHistory", history, err).Samples; len(all) == 0 || all[0].Memory == 0 || time.Since(all[0].Time).Abs() > time.Hour {
		return fmt.Errorf("samples are %+v", all)
	}
	condition, err := c.Condition(ctx)
	if is := got[*Condition]("condition", condition, err); is.Pid == 0 || is.Now.Before(is.Started) || is.Files == 0 ||
		len(is.Network.Addresses) == 0 || is.Announcing.Set || is.Backup.Set {
		return fmt.Errorf("the server is %+v", is)
	}
	return nil
}
