-- No coordinator is there: the status says so, and nothing was ever suspended.
SELECT connected, phase IN ('disconnected', 'disabled') AS phase, locks, suspends, last_suspended, last_resumed, last_slept, woken_by, last_error
FROM lttle.flash_status();

-- The row's type, for those who read it by name.
SELECT key, jsonb_typeof(value) FROM jsonb_each(to_jsonb((SELECT s FROM lttle.flash_status() s))) ORDER BY key COLLATE "C";

-- It counts the locks of every session.
SELECT lttle.flash_lock('one'), lttle.flash_lock('two'), lttle.flash_lock('two');
SELECT locks FROM lttle.flash_status();
SELECT lttle.flash_unlock_all();
SELECT locks FROM lttle.flash_status();
