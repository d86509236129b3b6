-- to_char, to_date, to_timestamp, to_number.
select to_char(timestamp '2024-05-06 07:08:09.123456', 'YYYY-MM-DD HH24:MI:SS.US'), to_char(timestamp '2024-05-06 17:08:09', 'Day, DD Mon YYYY HH12:MI AM'), to_char(timestamp '2024-05-06', 'FMDay FMMonth FMDD, "y"YYYY Q WW IW IYYY D ID DDD J CC RM BC ad');
select to_char(1234.5,'9,999.99'), to_char(-12,'S999'), to_char(12,'000'), to_char(0.5,'FM0.00'), to_char(1234567.891,'FM9,999,999.999'), to_char(485,'RN'), to_char(12.5,'99.9EEEE'), to_char(interval '15h 2m 12s','HH24:MI:SS');
select to_date('05 Dec 2000','DD Mon YYYY'), to_timestamp('05 Dec 2000 13:14:15','DD Mon YYYY HH24:MI:SS'), to_number('12,454.8-','99G999D9S'), to_date('20240102','YYYYMMDD'), to_timestamp('2024-01-02 03:04:05.678','YYYY-MM-DD HH24:MI:SS.MS');
select to_char(-0.1,'99.99'), to_char(-0.1,'FM9.99'), to_char(-0.1,'FM90.99'), to_char(0.1,'0.9'), to_char(12,'9990999.9'), to_char(12,'FM9990999.9'), to_char(485,'999'), to_char(-485,'999'), to_char(485,'9 9 9'), to_char(1485,'9,999'), to_char(1485,'9G999'), to_char(148.5,'999.999'), to_char(148.5,'FM999.999'), to_char(148.5,'FM999.990'), to_char(148.5,'999D999'), to_char(3148.5,'9G999D999');
select to_char(-485,'999S'), to_char(-485,'999MI'), to_char(485,'999MI'), to_char(485,'FM999MI'), to_char(485,'PL999'), to_char(485,'SG999'), to_char(-485,'SG999'), to_char(-485,'9SG99'), to_char(-485,'999PR'), to_char(485,'999PR'), to_char(485,'L999'), to_char(485,'FMRN'), to_char(5.2,'FMRN'), to_char(482,'999th'), to_char(485,'"Good number:"999'), to_char(485.8,'"Pre:"999" Post:" .999'), to_char(12,'99V999'), to_char(12.4,'99V999'), to_char(12.45,'99V9'), to_char(0.0004859,'9.99EEEE');
select to_number('-34,338,492','99G999G999'), to_number('$1,234.56','L9,999.99'), to_number('1234','9'), to_number('<123>','999PR'), to_number('0.5','9D9'), to_number('12 345','99 999'), to_number('485-','999MI'), to_number('1.2.3','9.9');
select to_number('abc','999');
select to_number('1','9EEEE');
select to_char(timestamp '2024-05-06 07:08:09.12', 'MS US FF1 FF3 SSSS AM a.m. P.M. YYY YY Y Y,YYY DDTH DDth FMHH12 MON mon Dy DY dy W IYY IY I'), to_char(timestamp '0044-03-15 BC','YYYY BC'), to_char(timestamptz '2024-05-06 07:00+00','TZ tz TZH:TZM OF'), to_char(date '2024-01-05','FMDD/FMMM/YY'), to_char(timestamp '2024-12-30','IYYY-IW-ID IDDD'), to_char(interval '1 year 2 mons 3 days 04:05:06.7','YYYY MM DD HH24 MI SS MS'), to_char(interval '-5 hours','HH24:MI'), to_char(interval '100 hours','HH24 HH12'), to_char(timestamp '2024-05-06','hello \"x\" "YYYY"');
select to_char(interval '1 day','Day');
select to_date('2024-02-30','YYYY-MM-DD');
select to_date('xx','DD');
select to_date('12 Foo','DD Mon');
select to_date('2024 5','YYYY MM'), to_date('2024-125','YYYY-DDD'), to_date('24-1-2','YY-MM-DD'), to_date('95-1-2','YY-MM-DD'), to_date('J2451187','"J"J'), to_date('2024-W05-3','IYYY-"W"IW-ID'), to_date('1/2/2024','MM/DD/YYYY'), to_date('January 5, 2024','Month DD, YYYY'), to_date('5 Dec','DD Mon'), to_date('2000  -   06','YYYY-MM'), to_date('100 BC','YYYY BC'), to_date('20 ','YY');
select to_timestamp('12:30 PM','HH:MI AM'), to_timestamp('2024-01-01 12:00 AM','YYYY-MM-DD HH12:MI AM'), to_timestamp('20240102030405','YYYYMMDDHH24MISS'), to_timestamp('2024-01-02 10:00 +05','YYYY-MM-DD HH24:MI TZH'), to_timestamp('15.25','SS.MS'), to_timestamp('2024-01-01T10:11:12','YYYY-MM-DD"T"HH24:MI:SS');
select to_timestamp('2024-01-01 13:00','YYYY-MM-DD HH12:MI');
select to_timestamp('2024-01-01 25:00','YYYY-MM-DD HH24:MI');
