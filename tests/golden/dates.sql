-- Rarer spellings of dates and intervals.
select '17323 july 1'::date, '6 Oct 15216'::date, '13908.087'::date, '1985.337 0528Z'::timestamptz, 'Mon Jun 13 10202'::date, '350910 9:01pm+02'::timestamptz, '12/25/99'::date;
select '3-12'::interval;
select '1:70'::interval;
set intervalstyle = 'sql_standard';
select '-1-7 4 7:02:03'::interval, '-1 2:03:04'::interval, '-1 day +2 hours'::interval;
set intervalstyle = 'postgres';
select '1 day 2 days'::interval;
select '3.805 years'::interval, '1.5 months'::interval, '-1.75 weeks'::interval;
select age(timestamptz '3219-09-15 18:09:19.610663', timestamptz '1105-02-27 21:18:02.595760');
select interval '22 years 40 days -32 mins' / 4.193, extract(julian from timestamp '1302-09-10 19:52:58.024408');
