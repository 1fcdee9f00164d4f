"""What tests of agents and of logs need, the project's own and its users'.

Import `Driver` (`driver`), `FakeClock` (`clock`) and `MemoryLog` (`memory_log`); `orders` has orders of work for a
driver. `log_contract` has the tests that every log has to pass; `faults` makes a worker fail or die at named points;
`jetstream` is a host for the feed `bluesky` that misbehaves when told to. Nothing in a worker imports from here.
"""
