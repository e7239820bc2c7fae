/*
 * The gate's nftables table; see gate_table.h and nft(8). All text is made here from binary addresses and numbers, so
 * nothing that a file or a machine says can become a command.
 */
#include "host/gate_table.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

/* "add" before "delete": the table may be there or not. */
const char gate_table_script_remove[] = "add table " GATE_TABLE "\n"
										"delete table " GATE_TABLE "\n";

const char gate_table_script_drop_sessions[] = "flush set " GATE_TABLE " sessions4\n"
											   "flush set " GATE_TABLE " sessions6\n";

/*
 * Priority -300 comes before connection tracking, so a dropped packet leaves no trace. The sets name the peer first, as
 * a packet on its way in does. The refusal of a SYN is the one reset with ACK and sequence number 0 (tcp_v4_send_reset
 * in the kernel). It is dropped, so that a client that comes while no stub is there, after a crash of the coordinator,
 * sends its SYN again. Every other reset passes: the connections that waited at a stub died with it, and their clients
 * must hear of it.
 */
static const char table_chains[] = "chain input { type filter hook input priority -300; policy accept;\n"
								   "ip saddr . tcp sport . ip daddr . tcp dport @sessions4 drop\n"
								   "ip6 saddr . tcp sport . ip6 daddr . tcp dport @sessions6 drop\n}\n"
								   "chain output { type filter hook output priority -300; policy accept;\n"
								   "ip daddr . tcp dport . ip saddr . tcp sport @sessions4 drop\n"
								   "ip6 daddr . tcp dport . ip6 saddr . tcp sport @sessions6 drop\n"
								   "tcp sport @ports tcp flags & (rst | ack) == (rst | ack) tcp sequence 0 drop\n}\n";

static bool
is_v4(const unsigned char endpoint[18])
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(endpoint, mapped, sizeof(mapped)) == 0;
}

/* "10.88.0.1 . 51234" */
static void
append_endpoint(Text *script, const unsigned char endpoint[18])
{
	char text[INET6_ADDRSTRLEN] = "";

	if (is_v4(endpoint))
		inet_ntop(AF_INET, endpoint + 12, text, sizeof(text));
	else
		inet_ntop(AF_INET6, endpoint, text, sizeof(text));
	text_printf(script, "%s . %u", text, (unsigned) (endpoint[16] << 8 | endpoint[17]));
}

/* A session over IPv4 that a socket of both families holds is one of IPv4 on the wire. */
static void
append_sessions(Text *script, const GatePlan *plan, bool v4)
{
	bool first = true;

	text_append(script, v4 ? "set sessions4 { type ipv4_addr . inet_service . ipv4_addr . inet_service;\n"
						   : "set sessions6 { type ipv6_addr . inet_service . ipv6_addr . inet_service;\n");
	for (size_t i = 0; i < plan->session_count; i++)
	{
		unsigned char local[18];
		unsigned char peer[18];

		if (!socket_normalize_endpoint(&plan->sessions[i].local, local) ||
			!socket_normalize_endpoint(&plan->sessions[i].peer, peer) || is_v4(peer) != v4)
			continue;
		text_append(script, first ? "elements = { " : ",\n");
		append_endpoint(script, peer);
		text_append(script, " . ");
		append_endpoint(script, local);
		first = false;
	}
	text_append(script, first ? "}\n" : " }\n}\n");
}

static void
append_ports(Text *script, const GatePlan *plan)
{
	text_append(script, "set ports { type inet_service;\n");
	for (size_t i = 0; i < plan->port_count; i++)
	{
		unsigned char endpoint[18] = {0};

		socket_normalize_endpoint(&plan->ports[i].address, endpoint);
		text_printf(script, "%s%u", i == 0 ? "elements = { " : ", ", (unsigned) (endpoint[16] << 8 | endpoint[17]));
	}
	text_append(script, plan->port_count == 0 ? "}\n" : " }\n}\n");
}

void
gate_table_script_close(const GatePlan *plan, Text *ret_script)
{
	text_append(ret_script, gate_table_script_remove);
	text_append(ret_script, "table " GATE_TABLE " {\n");
	append_sessions(ret_script, plan, true);
	append_sessions(ret_script, plan, false);
	append_ports(ret_script, plan);
	text_append(ret_script, table_chains);
	text_append(ret_script, "}\n");
}
