-- money, pg_lsn, bit strings, inet, cidr, macaddr.
select '12.34'::money, 1.5::money + 2::money, '-$1,234.56'::money, '($5)'::money, '1.5'::money * 2, '10'::money / 3, '10'::money / '3'::money, '12.345'::money::numeric, 5::int8::money, '1'::money < '2'::money;
select 'x'::money;
select '16/B374D848'::pg_lsn, '16/B374D848'::pg_lsn - '16/B374D840'::pg_lsn, '0/1'::pg_lsn < '1/0'::pg_lsn, '0/1'::pg_lsn + 16;
select 'zz'::pg_lsn;
select '101'::varbit, '101'::bit(3), 5::bit(4), 5::bit(40), (-1)::bit(4), '1010'::bit(4)::int, '101'::bit(3) & '110'::bit(3), '101'::bit(3) | '010'::bit(3), '101'::bit(3) # '111'::bit(3), ~ '101'::bit(3), '101'::bit(3) << 1, '101'::bit(3) >> 1, '10'::varbit || '01'::varbit, length('101'::varbit), substring('10110'::varbit from 2 for 3), get_bit('101'::varbit, 1), bit_length('101'::varbit);
select '1'::bit(3), '10'::bit(1);
select '102'::varbit;
select '101'::bit(3) & '1'::bit(1);
select '192.168.1.5/24'::inet, '10.0.0.0/8'::cidr, host('192.168.1.5/24'::inet), '192.168.1.5'::inet << '192.168.1.0/24'::inet, '08:00:2b:01:02:03'::macaddr, '::1'::inet, '192.168.1'::cidr, '10'::cidr, 'fe80::1/64'::inet, '::ffff:1.2.3.4'::inet, '192.168.1.5'::cidr;
select broadcast('192.168.1.5/24'::inet), netmask('192.168.1.5/24'::inet), hostmask('192.168.1.5/24'::inet), network('192.168.1.5/24'::inet), masklen('192.168.1.5/24'::inet), family('::1'::inet), text('1.2.3.4'::inet), abbrev('10.1.0.0/16'::cidr), set_masklen('192.168.1.5/24'::inet,16), inet_merge('192.168.1.5/24','192.168.2.5/24'), '192.168.1.5'::inet + 10, '192.168.1.43'::inet - '192.168.1.5'::inet, '1.2.3.4'::inet < '1.2.3.5'::inet, ~ '1.2.3.4'::inet, '1.2.3.4'::inet & '255.255.0.0'::inet;
select '192.168.1.5/24'::cidr;
select '1.2.3'::inet;
select 'x'::macaddr;
select trunc('08:00:2b:01:02:03'::macaddr), '08002b:010203'::macaddr, '0800.2b01.0203'::macaddr, '08-00-2b-01-02-03'::macaddr < '08:00:2b:01:02:04'::macaddr;
select array['1.2.3.4'::inet, '10.0.0.1'], min(x), max(x) from (values ('1.2.3.4'::inet), ('10.0.0.1')) v(x) group by 1;
select min(x), max(x) from (values ('1'::money),('2')) v(x);
