// Calls every operation with the client that oapi-codegen generates into this package:
// main BASE EMAIL PASSWORD. It prints the operations that it called.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// answered is what every generated answer has.
type answered interface{ StatusCode() int }

// must ends the run unless the operation answered as wanted.
func must[A answered](operation string, status int) func(A, error) A {
	return func(a A, err error) A {
		if err == nil && a.StatusCode() != status {
			err = fmt.Errorf("status %d, want %d: %+v", a.StatusCode(), status, a)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", operation, err)
			os.Exit(1)
		}
		fmt.Println(operation)
		return a
	}
}

func p[T any](v T) *T { return &v }

func run(ctx context.Context, base, email, password string) error {
	token := ""
	c, err := NewClientWithResponses(base, WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		return nil
	}))
	if err != nil {
		return err
	}
	const root = "bafkqaaa"
	must[*HealthResponse]("health", 200)(c.HealthWithResponse(ctx))
	must[*ReadyResponse]("ready", 200)(c.ReadyWithResponse(ctx))
	if d := must[*GetDescriptionResponse]("getDescription", 200)(c.GetDescriptionWithResponse(ctx)); !strings.HasPrefix(string(d.Body), "openapi:") {
		return fmt.Errorf("the description is %.40q", d.Body)
	}
	session := must[*LoginResponse]("login", 200)(c.LoginWithResponse(ctx, LoginJSONRequestBody{Email: email, Password: password})).JSON200
	must[*LoginResponse]("login", 200)(c.LoginWithFormdataBodyWithResponse(ctx, LoginFormdataRequestBody{Email: email, Password: password}))
	token = must[*RefreshResponse]("refresh", 200)(c.RefreshWithResponse(ctx, RefreshJSONRequestBody{RefreshToken: session.RefreshToken})).JSON200.AccessToken
	if me := must[*MeResponse]("me", 200)(c.MeWithResponse(ctx)); me.JSON200.Account.Email == nil || string(*me.JSON200.Account.Email) != email {
		return fmt.Errorf("me is %+v", me.JSON200)
	}

	made := must[*AddAccountResponse]("addAccount", 201)(c.AddAccountWithResponse(ctx, AddAccountJSONRequestBody{
		Email: "made@example.com", Password: "correct horse battery", Quota: p(Quota(1 << 30)),
	})).JSON201.Account
	id := made.Id.String()
	if all := must[*ListAccountsResponse]("listAccounts", 200)(c.ListAccountsWithResponse(ctx)); len(all.JSON200.Accounts) != 2 {
		return fmt.Errorf("accounts are %+v", all.JSON200)
	}
	must[*GetAccountResponse]("getAccount", 200)(c.GetAccountWithResponse(ctx, id))
	must[*SetQuotaResponse]("setQuota", 200)(c.SetQuotaWithResponse(ctx, id, SetQuotaJSONRequestBody{MaxPins: p(MaxPins(5))}))
	must[*DisableAccountResponse]("disableAccount", 200)(c.DisableAccountWithResponse(ctx, id))
	must[*EnableAccountResponse]("enableAccount", 200)(c.EnableAccountWithResponse(ctx, id))
	must[*SetRoleResponse]("setRole", 200)(c.SetRoleWithResponse(ctx, id, SetRoleJSONRequestBody{Admin: true}))
	must[*SetPasswordResponse]("setPassword", 200)(c.SetPasswordWithResponse(ctx, id, SetPasswordJSONRequestBody{
		Password: "staple correct horse", OwnPassword: password,
	}))
	must[*ListAccountPinsResponse]("listAccountPins", 200)(c.ListAccountPinsWithResponse(ctx, id, &ListAccountPinsParams{Limit: p(int32(100))}))
	must[*ListOwnersResponse]("listOwners", 200)(c.ListOwnersWithResponse(ctx))
	must[*RemoveAccountResponse]("removeAccount", 200)(c.RemoveAccountWithResponse(ctx, id, &RemoveAccountParams{Pins: p(Keep)}))
	invite := must[*AddInviteResponse]("addInvite", 201)(c.AddInviteWithResponse(ctx, AddInviteJSONRequestBody{ExpiresIn: p(int64(60))})).JSON201
	if all := must[*ListInvitesResponse]("listInvites", 200)(c.ListInvitesWithResponse(ctx)).JSON200.Invites; len(all) != 1 || all[0].Id != invite.Id {
		return fmt.Errorf("invitations are %+v", all)
	}
	must[*RegisterResponse]("register", 201)(c.RegisterWithResponse(ctx, RegisterJSONRequestBody{
		Email: "oapi@example.com", Password: "correct horse battery", Invite: &invite.Invite,
	}))
	invite = must[*AddInviteResponse]("addInvite", 201)(c.AddInviteWithResponse(ctx, AddInviteJSONRequestBody{})).JSON201
	must[*RevokeInviteResponse]("revokeInvite", 200)(c.RevokeInviteWithResponse(ctx, invite.Id))
	if a := must[*AuditResponse]("audit", 200)(c.AuditWithResponse(ctx, &AuditParams{Limit: p(5)})); len(a.JSON200.Events) != 5 {
		return fmt.Errorf("events are %+v", a.JSON200)
	}

	if err := store(ctx, c); err != nil {
		return err
	}

	asked := AddPinJSONRequestBody{Cid: root, Name: p("a name"), Meta: &PinMeta{"app": "with a space"}}
	once := &AddPinParams{IdempotencyKey: p("a-key")}
	added := must[*AddPinResponse]("addPin", 202)(c.AddPinWithResponse(ctx, once, asked)).JSON202
	if again := must[*AddPinResponse]("addPin", 202)(c.AddPinWithResponse(ctx, once, asked)).JSON202; again.Requestid != added.Requestid {
		return fmt.Errorf("sent again it is %+v", again)
	}
	found := must[*GetPinsResponse]("getPins", 200)(c.GetPinsWithResponse(ctx, &GetPinsParams{
		Cid: &Cid{root}, Status: &Statuses{Queued, Pinning, Pinned, Failed}, Meta: &Meta{"app": "with a space"}, Name: p(Name("a name")),
	})).JSON200
	if found.Count != 1 || found.Results[0].Requestid != added.Requestid {
		return fmt.Errorf("pins are %+v", found)
	}
	must[*GetPinByRequestIdResponse]("getPinByRequestId", 200)(c.GetPinByRequestIdWithResponse(ctx, added.Requestid))
	replaced := must[*ReplacePinByRequestIdResponse]("replacePinByRequestId", 202)(c.ReplacePinByRequestIdWithResponse(ctx, added.Requestid, nil,
		ReplacePinByRequestIdJSONRequestBody{Cid: root})).JSON202
	must[*DeletePinByRequestIdResponse]("deletePinByRequestId", 202)(c.DeletePinByRequestIdWithResponse(ctx, replaced.Requestid))
	if bad, err := c.AddPinWithResponse(ctx, nil, AddPinJSONRequestBody{Cid: "no"}); err != nil || bad.JSON400 == nil || bad.JSON400.Error.Reason == "" {
		return fmt.Errorf("a failure is read as %+v, %v", bad, err)
	}

	device := must[*CreateTokenResponse]("createToken", 201)(c.CreateTokenWithResponse(ctx, CreateTokenJSONRequestBody{Name: "kubo", Scope: p(ScopePin)})).JSON201
	must[*ListTokensResponse]("listTokens", 200)(c.ListTokensWithResponse(ctx))
	must[*RevokeTokenResponse]("revokeToken", 200)(c.RevokeTokenWithResponse(ctx, device.Id.String()))
	must[*ChangePasswordResponse]("changePassword", 200)(c.ChangePasswordWithResponse(ctx, ChangePasswordJSONRequestBody{
		Password: password, NewPassword: password + "!",
	}))
	again := func() {
		token = ""
		token = must[*LoginResponse]("login", 200)(c.LoginWithResponse(ctx, LoginJSONRequestBody{Email: email, Password: password + "!"})).JSON200.AccessToken
	}
	again()
	must[*LogoutResponse]("logout", 200)(c.LogoutWithResponse(ctx))
	again()
	must[*LogoutAllResponse]("logoutAll", 200)(c.LogoutAllWithResponse(ctx))
	return nil
}

// store calls what is about the store and the server as a whole.
func store(ctx context.Context, c *ClientWithResponses) error {
	stats := must[*StoreStatsResponse]("storeStats", 200)(c.StoreStatsWithResponse(ctx)).JSON200
	if stats.Accounts < 1 || stats.FreeBytes == 0 || stats.Requests != (RequestCounts{}) || stats.DamagedRecordList != nil {
		return fmt.Errorf("the store has %+v", stats)
	}
	if stats.UnreadableBlocks != nil {
		return fmt.Errorf("it cannot read %s", (*stats.UnreadableBlocks)[0].CID)
	}
	begun := must[*BeginRunResponse]("beginRun", 202)(c.BeginRunWithResponse(ctx, BeginRunJSONRequestBody{Kind: Verify})).JSON202.Run
	if begun.Kind != Verify || begun.By == nil || time.Since(begun.Began).Abs() > time.Hour {
		return fmt.Errorf("it began %+v", begun)
	}
	must[*EndRunResponse]("endRun", 200)(c.EndRunWithResponse(ctx, begun.Id.String()))
	for {
		runs := must[*ListRunsResponse]("listRuns", 200)(c.ListRunsWithResponse(ctx)).JSON200.Runs
		if len(runs) != 1 || runs[0].Id != begun.Id || len(runs[0].Damage) != 0 {
			return fmt.Errorf("runs are %+v", runs)
		}
		if one := runs[0]; one.Ended == nil {
			continue
		} else if (one.Verified == nil) == (one.Failure == nil) || one.Reclaimed != nil {
			return fmt.Errorf("it ended as %+v", one)
		}
		break
	}
	if bad, err := c.BeginRunWithResponse(ctx, BeginRunJSONRequestBody{Kind: "paint"}); err != nil || bad.JSON400 == nil || bad.JSON400.Error.Reason == "" {
		return fmt.Errorf("a failure is read as %+v, %v", bad, err)
	}
	samples := must[*ServerHistoryResponse]("serverHistory", 200)(c.ServerHistoryWithResponse(ctx, &ServerHistoryParams{Of: p(Day)})).JSON200.Samples
	if len(samples) == 0 || samples[0].Memory == 0 || time.Since(samples[0].Time).Abs() > time.Hour {
		return fmt.Errorf("samples are %+v", samples)
	}
	is := must[*ConditionResponse]("condition", 200)(c.ConditionWithResponse(ctx)).JSON200
	if is.Pid == 0 || is.Now.Before(is.Started) || is.Files == 0 || len(is.Network.Addresses) == 0 || is.Announcing != nil || is.Backup != nil {
		return fmt.Errorf("the server is %+v", is)
	}
	return nil
}
