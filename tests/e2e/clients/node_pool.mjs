// A web shop's access to its database over node's `pg`: one pool of at most ten connections, as long as the process lives.
import pg from 'pg';
import { fail, follow } from './steps.mjs';

// Without a time-out of the pool's own, which would close connections that a test left idle for ten seconds.
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10, idleTimeoutMillis: 0 });
pool.on('error', fail);

const rows = async (text, values) => (await pool.query(text, values)).rows;
let alice;

async function order(total) {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    await client.query('INSERT INTO orders (user_id, total) VALUES ($1, $2)', [alice, total]);
    await client.query('UPDATE users SET balance = balance - $1 WHERE id = $2', [total, alice]);
    await client.query('COMMIT');
    return 'committed';
  } catch (error) {
    await client.query('ROLLBACK');
    if (error.code !== '23514') throw error;
    return `rolled back: ${error.constraint}`;
  } finally {
    client.release();
  }
}

await follow({
  async connect() {
    return rows('SELECT 1 AS one');
  },
  // Ten statements that run at once need all ten connections.
  async backends() {
    const all = Array.from({ length: 10 }, () => rows('SELECT pg_backend_pid() AS pid, pg_sleep(0.2)'));
    return (await Promise.all(all)).map(([row]) => row.pid).sort((a, b) => a - b);
  },
  async schema() {
    await pool.query(`
      CREATE TABLE users (
        id         UUID PRIMARY KEY DEFAULT gen_random_uuid(),
        email      TEXT NOT NULL UNIQUE,
        name       TEXT NOT NULL,
        status     TEXT NOT NULL DEFAULT 'active',
        balance    NUMERIC(10,2) NOT NULL DEFAULT 0 CONSTRAINT no_debts CHECK (balance >= 0),
        created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
        updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW());
      CREATE TABLE orders (
        id         UUID PRIMARY KEY DEFAULT gen_random_uuid(),
        user_id    UUID NOT NULL REFERENCES users(id),
        total      NUMERIC(10,2) NOT NULL,
        status     TEXT NOT NULL DEFAULT 'pending',
        created_at TIMESTAMPTZ NOT NULL DEFAULT NOW());
      CREATE TABLE settings (
        user_id UUID NOT NULL REFERENCES users(id), key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (user_id, key));
      CREATE INDEX idx_users_email ON users (email);
      CREATE INDEX idx_orders_user_id ON orders (user_id)`);
    return rows(`SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND indexname LIKE 'idx%' ORDER BY 1`);
  },
  async create() {
    const [user] = await rows('INSERT INTO users (email, name) VALUES ($1, $2) RETURNING *', ['a@b.com', 'Alice']);
    alice = user.id;
    return { email: user.email, name: user.name, status: user.status, born: user.created_at instanceof Date };
  },
  async bulk() {
    const people = Array.from({ length: 29 }, (_, n) => n + 1);
    const { rowCount } = await pool.query(
      'INSERT INTO users (email, name) SELECT unnest($1::text[]), unnest($2::text[])',
      [people.map((n) => `p${n}@d.com`), people.map((n) => `Person ${n}`)]
    );
    return rowCount;
  },
  async read() {
    return (await rows('SELECT * FROM users WHERE id = $1', [alice])).map((user) => user.name);
  },
  async pages() {
    const page = (offset) =>
      rows('SELECT * FROM users WHERE status = $1 ORDER BY created_at DESC, email LIMIT $2 OFFSET $3', ['active', 20, offset]);
    const [first, second] = [await page(0), await page(20)];
    return [first.length, second.length, new Set([...first, ...second].map((user) => user.email)).size];
  },
  async count() {
    const [{ count }] = await rows('SELECT COUNT(*) FROM users WHERE status = $1', ['active']);
    return count;
  },
  async update() {
    const { rowCount } = await pool.query('UPDATE users SET name = $1, balance = 100, updated_at = NOW() WHERE id = $2', ['Alice B.', alice]);
    return rowCount;
  },
  async upsert() {
    for (const value of ['light', 'dark']) {
      await pool.query(
        `INSERT INTO settings (user_id, key, value) VALUES ($1, $2, $3)
         ON CONFLICT (user_id, key) DO UPDATE SET value = EXCLUDED.value`,
        [alice, 'theme', value]
      );
    }
    return rows('SELECT key, value FROM settings');
  },
  async transaction() {
    return order(40);
  },
  async rollback() {
    return order(61);
  },
  async join() {
    return rows(
      `SELECT o.total, o.status, u.email, u.balance FROM orders o
       JOIN users u ON u.id = o.user_id WHERE o.user_id = $1`,
      [alice]
    );
  },
  async softDelete() {
    await pool.query("UPDATE users SET status = 'deleted', updated_at = NOW() WHERE id = $1", [alice]);
    return rows('SELECT status, COUNT(*) FROM users GROUP BY status ORDER BY status');
  },
  async remove() {
    return (await pool.query("DELETE FROM users WHERE email = 'p1@d.com'")).rowCount;
  },
  // A client of its own, by parameters and not by an address.
  async single() {
    const { hostname, port, pathname, username, password } = new URL(process.env.DATABASE_URL);
    const client = new pg.Client({ host: hostname, port: Number(port), database: pathname.slice(1), user: username, password });
    await client.connect();
    const { rows: [{ version }] } = await client.query('SELECT version()');
    await client.end();
    return version;
  },
});
await pool.end();
