package config

import (
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/node"
	"github.com/holdfast-ipfs/holdfast/node/provide"
	"github.com/holdfast-ipfs/holdfast/upload"
)

// Config is everything an operator can set. Each field is a key of the TOML file and the
// variable HOLDFAST_SECTION_KEY. If it has the tag "flag", it is a flag too. Flags win over
// the environment, which wins over the file, which wins over the defaults.
type Config struct {
	HTTP     HTTP     `toml:"http"`
	Node     Node     `toml:"node"`
	Provide  Provide  `toml:"provide"`
	Pin      Pin      `toml:"pin"`
	Store    Store    `toml:"store"`
	Auth     Auth     `toml:"auth"`
	Gateway  Gateway  `toml:"gateway"`
	Cluster  Cluster  `toml:"cluster"`
	RPC      RPC      `toml:"rpc"`
	Web      Web      `toml:"web"`
	Denylist Denylist `toml:"denylist"`
	Metrics  Metrics  `toml:"metrics"`
	Backup   Backup   `toml:"backup"`
	Log      Log      `toml:"log"`
}

// HTTP is where the API is served, and to which clients.
type HTTP struct {
	Listen         string   `toml:"listen" flag:"true" usage:"host:port to serve the API on"`
	PublicURL      string   `toml:"public_url" flag:"true" usage:"base URL that clients use, if a proxy is in front of the server"`
	TLS            string   `toml:"tls" flag:"true" usage:"off, files or acme"`
	TLSCert        string   `toml:"tls_cert" usage:"PEM file of the certificate and its chain, for tls = \"files\""`
	TLSKey         string   `toml:"tls_key" usage:"PEM file of the certificate's key, for tls = \"files\""`
	ACMEDomains    []string `toml:"acme_domains" usage:"names to get certificates for, for tls = \"acme\""`
	ACMEEmail      string   `toml:"acme_email" usage:"e-mail address for messages of the CA"`
	ACMECA         string   `toml:"acme_ca" usage:"URL of the CA's directory"`
	ACMECARoots    string   `toml:"acme_ca_roots" usage:"PEM file of the root certificates by which the server trusts the CA itself"`
	TrustedProxies []string `toml:"trusted_proxies" usage:"proxies whose X-Forwarded-For is believed"`
	CORSOrigins    []string `toml:"cors_origins" usage:"web origins that may call the API"`
	MaxConnections int      `toml:"max_connections" usage:"how many connections there may be at the same time"`
}

// Node is the libp2p node.
type Node struct {
	Listen                []string `toml:"listen" flag:"true" usage:"multiaddrs to listen on for other nodes"`
	Announce              []string `toml:"announce" flag:"true" usage:"multiaddrs to announce, in place of those that the node finds"`
	AppendAnnounce        []string `toml:"append_announce" usage:"multiaddrs to announce beside those"`
	Bootstrap             []string `toml:"bootstrap" flag:"true" usage:"peers through which to join the network, or \"auto\""`
	Routing               string   `toml:"routing" flag:"true" usage:"\"auto\" or \"none\""`
	DelegatedRouters      []string `toml:"delegated_routers" usage:"URLs of routers to ask over HTTP who has a block"`
	Peering               []string `toml:"peering" usage:"peers to stay connected to"`
	AllowPrivateAddresses bool     `toml:"allow_private_addresses" flag:"true" usage:"connect to private addresses that others give"`
	HTTPRetrieval         bool     `toml:"http_retrieval" usage:"also fetch from providers that are trustless gateways"`

	Profile      string   `toml:"profile" flag:"true" usage:"how much of the machine to use: small, default or large"`
	Reachability string   `toml:"reachability" usage:"whether others can reach the node: auto, public or private"`
	NATPortMap   bool     `toml:"nat_port_map" usage:"ask the router to forward the node's port"`
	AutoNAT      bool     `toml:"autonat" usage:"ask other peers whether they can reach the node, and answer when they ask"`
	RelayClient  bool     `toml:"relay_client" usage:"be reached through relays while nobody reaches the node directly"`
	StaticRelays []string `toml:"static_relays" usage:"relays to use in place of those that are found"`
	RelayService bool     `toml:"relay_service" usage:"be a relay for others"`
	HolePunching bool     `toml:"hole_punching" usage:"make connections through relays direct"`
	SwarmKey     string   `toml:"swarm_key" usage:"file with the key of a private network"`
}

// Pin is how pins are fetched and what they may be.
type Pin struct {
	Workers      int      `toml:"workers" flag:"true" usage:"how many DAGs are fetched at the same time"`
	StallTimeout Duration `toml:"stall_timeout" usage:"time after which a pin fails of which no block came"`
	KeepPartial  Duration `toml:"keep_partial" usage:"time that a pin of which some blocks came waits for its source, 0 for stall_timeout"`
	MaxDAGBytes  Size     `toml:"max_dag_bytes" usage:"how many bytes a DAG may have, 0 for no limit"`
	MaxDAGBlocks int      `toml:"max_dag_blocks" usage:"how many blocks a DAG may have, 0 for no limit"`
	MaxBlockSize Size     `toml:"max_block_size" usage:"how many bytes a block may have, 0 for no limit"`
	MaxLinks     int      `toml:"max_links" usage:"how many links a block may have, 0 for no limit"`
	MaxDepth     int      `toml:"max_depth" usage:"how many links may lie between the root and a block, 0 for no limit"`
	TotalTimeout Duration `toml:"total_timeout" usage:"time that a pin may take altogether, 0 for no limit"`
	// ImportProfile is the name of an [upload.Profile].
	ImportProfile string `toml:"import_profile" usage:"profile of Kubo's by which uploads become files and directories"`
}

// Store is the database.
type Store struct {
	MinFreeSpace    Size     `toml:"min_free_space" flag:"true" usage:"free disk space below which no block is stored"`
	ReclaimInterval Duration `toml:"reclaim_interval" usage:"how often disk space is given back, 0 for never"`
}

// Backup is where backups go and which of them stay.
type Backup struct {
	To         string   `toml:"to" usage:"directory or bucket that backups are written to, empty for none"`
	KeyFile    string   `toml:"key_file" usage:"file of the age key that backups are encrypted with, empty for none"`
	Every      Duration `toml:"every" usage:"how often a backup is made, 0 for never"`
	KeepLast   int      `toml:"keep_last" usage:"how many of the newest backups stay"`
	KeepWithin Duration `toml:"keep_within" usage:"backups younger than this stay, too"`
	ServerKeys bool     `toml:"server_keys" usage:"put the keys of the server into the backups"`
}

// MaxAge is how old the newest backup may be before that is worth a warning: one may fail, or take long. Zero
// is as old as it likes.
func (b Backup) MaxAge() time.Duration { return 3 * time.Duration(b.Every) }

// Auth is who may have an account, how long tokens last, and how long the audit record is
// kept.
type Auth struct {
	Registration    string   `toml:"registration" flag:"true" usage:"who may make an account: closed, invite or open"`
	RegisterQuota   Size     `toml:"register_quota" usage:"quota of accounts that strangers make, 0 for no limit"`
	RegisterMaxPins int      `toml:"register_max_pins" usage:"how many pins such an account may have, 0 for no limit"`
	AccessTokenTTL  Duration `toml:"access_token_ttl" usage:"life of an access token"`
	RefreshTokenTTL Duration `toml:"refresh_token_ttl" usage:"life of a refresh token"`
	AuditKeep       Duration `toml:"audit_keep" usage:"how long the audit record is kept, 0 for ever"`
}

// Provide is what is announced to the network.
type Provide struct {
	Enabled  bool     `toml:"enabled" usage:"announce to the network what is pinned"`
	Strategy string   `toml:"strategy" flag:"true" usage:"which blocks of a pin are announced: roots, entities or all"`
	Interval Duration `toml:"interval" usage:"time within which everything is announced again"`
}

// Gateway is where pinned content is served over HTTP.
type Gateway struct {
	Listen      string `toml:"listen" flag:"true" usage:"host:port to serve what is pinned on, as a trustless gateway; empty for none"`
	MaxRequests int    `toml:"max_requests" usage:"how many requests the gateway answers at the same time"`

	Deserialized bool     `toml:"deserialized" usage:"also serve websites and files to browsers, at the hosts that follow"`
	Hosts        []string `toml:"hosts" usage:"hosts that serve each CID at a subdomain of its own"`
	PathHosts    []string `toml:"path_hosts" usage:"hosts and IP addresses that serve CIDs by paths, in a sandbox"`
	DNSLinkHosts []string `toml:"dnslink_hosts" usage:"hosts that serve what their DNSLink names"`
}

// Cluster is the ipfs-cluster that keeps what is pinned, in the place of this machine.
type Cluster struct {
	Peers        []string `toml:"peers" usage:"URLs of the REST API of the peers of an ipfs-cluster that keeps what is pinned; empty to keep it here"`
	Nodes        []string `toml:"nodes" usage:"URLs of the RPC of the peers' nodes, for sizes and progress"`
	Username     string   `toml:"username" usage:"user name for the peers, empty for none"`
	PasswordFile string   `toml:"password_file" usage:"file with the password for the peers"`
	CAFile       string   `toml:"ca_file" usage:"PEM file of the certificates by which peers and nodes are trusted, empty for those of the host"`
	Replication  string   `toml:"replication" usage:"in how many copies a pin is kept: a number, or the fewest and the most"`
}

// On reports whether a cluster keeps what is pinned.
func (c Cluster) On() bool { return len(c.Peers) > 0 }

// Web is the dashboard.
type Web struct {
	Enabled bool `toml:"enabled" usage:"serve the dashboard"`
}

// Denylist is what must not be pinned or served.
type Denylist struct {
	Dirs []string `toml:"dirs" usage:"directories of denylists, or \"auto\""`
}

// Metrics is where metrics are served.
type Metrics struct {
	Listen string `toml:"listen" flag:"true" usage:"host:port to serve /metrics on, empty for none"`
}

// Log is what is logged, to standard error.
type Log struct {
	Level  string `toml:"level" flag:"true" usage:"debug, info, warn or error"`
	Format string `toml:"format" flag:"true" usage:"text or json"`
}

// AutoBootstrap in node.bootstrap stands for the peers through which Kubo joins the network.
const AutoBootstrap = "auto"

// DefaultMetricsListen is next to the API. Metrics have no password, so by default only this
// host can read them.
const DefaultMetricsListen = "127.0.0.1:5052"

// Default is the configuration where nothing is set.
func Default() Config {
	return Config{
		HTTP: HTTP{
			// Not 5001 or 8080, nor 4001 below: a Kubo on the same host uses these.
			Listen:         "127.0.0.1:5050",
			TLS:            TLSOff,
			ACMEDomains:    []string{},
			ACMECA:         "https://acme-v02.api.letsencrypt.org/directory",
			MaxConnections: 4096, // about 20 KiB each while idle
			TrustedProxies: []string{},
			CORSOrigins:    []string{"*"}, // bearer tokens, no cookies
		},
		Node: Node{
			Listen:           node.DefaultListen(),
			Announce:         []string{},
			AppendAnnounce:   []string{},
			Bootstrap:        []string{AutoBootstrap},
			Routing:          "auto",
			DelegatedRouters: []string{}, // public ones come and go
			Peering:          []string{},

			HTTPRetrieval: true, // as Kubo does

			Profile: profileDefault,
			// As Kubo has it.
			Reachability: node.ReachabilityAuto,
			NATPortMap:   true,
			AutoNAT:      true,
			RelayClient:  true,
			StaticRelays: []string{},
			RelayService: true,
			HolePunching: true,
		},
		Pin: Pin{
			Workers:      16, // each has a few MiB of blocks in hand
			StallTimeout: Duration(30 * time.Minute),
			KeepPartial:  Duration(7 * 24 * time.Hour), // a laptop that is away for a week
			MaxBlockSize: 4 << 20,                      // what a message of Bitswap takes, and so what Kubo passes on

			ImportProfile: upload.Default.Name, // as Kubo does
		},
		Store: Store{
			MinFreeSpace:    1 << 30,             // on a full disk a mapped file gives SIGBUS, so stop well before
			ReclaimInterval: Duration(time.Hour), // a reclaim does nothing unless enough was removed
		},
		Auth: Auth{
			AccessTokenTTL:  Duration(30 * 24 * time.Hour), // Kubo stores one token and never refreshes it
			RefreshTokenTTL: Duration(90 * 24 * time.Hour),
			Registration:    string(auth.RegistrationClosed),
			AuditKeep:       Duration(90 * 24 * time.Hour),
		},
		Provide: Provide{
			Enabled:  true,
			Strategy: string(provide.Entities), // a link to a file finds it; docs/benchmarks.md has the cost
			Interval: Duration(provide.DefaultInterval),
		},
		Gateway: Gateway{
			MaxRequests: 128, // each has two blocks in hand, or 512 KiB
			Hosts:       []string{}, PathHosts: []string{}, DNSLinkHosts: []string{},
		},
		Cluster: Cluster{
			Peers: []string{}, Nodes: []string{},
			Replication: "2-3", // one machine may fail, and the third copy is made while there is room
		},
		RPC: RPC{
			Account:    "cluster@localhost",
			UnpinGrace: Duration(24 * time.Hour), // ipfs-cluster unpins here before it has pinned elsewhere
		},
		Web:      Web{Enabled: true},
		Denylist: Denylist{Dirs: []string{AutoDenylists}},
		Metrics:  Metrics{Listen: DefaultMetricsListen},
		Backup: Backup{
			Every:      Duration(24 * time.Hour),
			KeepLast:   7,
			KeepWithin: Duration(30 * 24 * time.Hour),
		},
		Log: Log{Level: "info", Format: "text"},
	}
}
