CREATE TABLE [dbo].[Country] ([Code] CHAR (2) NOT NULL);
