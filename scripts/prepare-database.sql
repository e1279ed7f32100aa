-- Run as a superuser in the database that Nexus is to live in; repeatable, so local.sh and compose.yaml run it at
-- every start. The environment gives NEXUS_GATEWAY_PASSWORD.
create extension if not exists nexus;
alter extension nexus update;
select nexus.migrate();

-- The gateway's own login. Its password is set each time, so that file and role cannot differ.
\getenv password NEXUS_GATEWAY_PASSWORD
select 'create role nexus_gateway_login login in role nexus_gateway'
 where not exists (select from pg_roles where rolname = 'nexus_gateway_login') \gexec
-- The server would write this statement, and the password with it, to its log, its statistics and its list of activity.
begin;
set local log_statement = 'none';
set local log_min_duration_statement = -1;
set local log_min_duration_sample = -1;
set local log_transaction_sample_rate = 0;
set local log_min_error_statement = 'panic';
set local track_activities = off;
set local pg_stat_statements.track_utility = off;
alter role nexus_gateway_login password :'password';
commit;
