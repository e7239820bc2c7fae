-- The manual trigger needs a coordinator; its argument is checked before.
\set VERBOSITY terse
SELECT lttle.flash_snapshot();
SELECT lttle.flash_snapshot(NULL);
SELECT lttle.flash_snapshot('5 seconds');
SELECT lttle.flash_snapshot(timeout => '1 day');

SELECT lttle.flash_snapshot('0');
SELECT lttle.flash_snapshot('99 milliseconds');
SELECT lttle.flash_snapshot('-1 second');
SELECT lttle.flash_snapshot('1 day 1 millisecond');
SELECT lttle.flash_snapshot('1 month');
SELECT lttle.flash_snapshot('-1 month 31 days');
SELECT lttle.flash_snapshot('100 days -2399 hours');
SELECT lttle.flash_snapshot('2147483647 years');

\set VERBOSITY sqlstate
SELECT lttle.flash_snapshot();
SELECT lttle.flash_snapshot('0');

-- A refused request leaves nothing behind.
SELECT last_error FROM lttle.flash_status();
